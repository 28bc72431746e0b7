//! A container of this node as the data plane sees it, and who stands behind an address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use model::wire::orders::Orders;
use model::{NetworkId, TaskId};
use serde::{Deserialize, Serialize};

/// A running container of this node.
///
/// Of a task, `id`, `task` and, if it is on no network of ours, `engine_address` are enough: the
/// rest is in the orders. Of a container that a user attached to a network, everything counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalContainer {
    /// The engine's id.
    pub id: String,
    /// Absent: somebody's own container on an attachable network.
    pub task: Option<TaskId>,
    /// Path of its network namespace (the engine's `SandboxKey`). Found by address when absent.
    pub netns: Option<String>,
    /// Name, host name and aliases: what others on its networks may call it.
    pub names: BTreeSet<String>,
    pub addresses: BTreeMap<NetworkId, Ipv4Addr>,
    /// Its address on the engine's own default bridge.
    pub engine_address: Option<Ipv4Addr>,
    /// It shares the host's network.
    pub host_network: bool,
    /// Servers for names that are not ours; empty: those of the host.
    pub nameservers: Vec<IpAddr>,
}

/// Who asks or connects from inside one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// Its networks, the one whose names win first.
    pub networks: Vec<NetworkId>,
    /// Servers for names that are not ours; empty: those of the host.
    pub nameservers: Vec<IpAddr>,
}

/// Who owns a namespace in which `addresses` were found; `None` when none of them is on a network
/// of ours.
#[must_use]
pub fn asker(
    orders: &Orders,
    local: &[LocalContainer],
    addresses: &BTreeSet<Ipv4Addr>,
) -> Option<Asker> {
    let mut networks: Vec<NetworkId> = Vec::new();
    let mut nameservers: Vec<IpAddr> = Vec::new();
    for task in orders.tasks.values() {
        if task.attachments.iter().any(|a| addresses.contains(&a.address)) {
            networks.extend(task.attachments.iter().map(|a| a.network));
            if let Some(dns) = task.spec.container_spec.as_ref().and_then(|c| c.dns_config.as_ref())
            {
                nameservers.extend(dns.nameservers.iter().filter_map(|n| n.parse::<IpAddr>().ok()));
            }
        }
    }
    for container in local {
        if container.addresses.values().any(|address| addresses.contains(address)) {
            networks.extend(container.addresses.keys().copied());
            nameservers.extend(container.nameservers.iter().copied());
        }
    }
    // Neither in the orders nor reported yet: the subnet tells the network.
    for (id, network) in &orders.networks {
        if addresses.iter().any(|address| network.subnet.contains(*address)) {
            networks.push(*id);
        }
    }
    let mut seen = BTreeSet::new();
    networks.retain(|id| orders.networks.contains_key(id) && seen.insert(*id));
    let mut seen = BTreeSet::new();
    nameservers.retain(|server| seen.insert(*server));
    (!networks.is_empty()).then_some(Asker { networks, nameservers })
}
