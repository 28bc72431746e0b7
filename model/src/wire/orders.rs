//! Orders: everything that should be true on one node, whole or as a delta.
//!
//! Orders are fenced. An agent obeys a whole only if its fence is not older than the one it has,
//! and a delta only if it starts exactly where the agent is; else it asks for the whole again.

mod delta;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::lifecycle::Desired;
use crate::object::{Attachment, NodeTrust, Revision, Slot, Subnet};
use crate::spec::{Availability, Labels, PortConfig, Role, TaskSpec};
use crate::time::Timestamp;
use crate::{ClusterId, ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId};

pub use delta::{Change, Delta, GapError, MembersChange};

/// Whose orders these are and from which position of the log: compared term first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fence {
    /// The leader's Raft term.
    pub term: u64,
    pub revision: Revision,
}

/// Everything that should be true on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    pub fence: Fence,
    pub node: NodeOrder,
    pub cluster: ClusterOrder,
    /// Tasks of this node, until their record goes.
    pub tasks: BTreeMap<TaskId, TaskOrder>,
    /// Networks that a task of this node needs, and attachable ones in use here.
    pub networks: BTreeMap<NetworkId, NetworkOrder>,
    /// Services that this node must resolve or balance: those on its networks, and all that
    /// publish an ingress port.
    /// Shared: what a service is, is the same for every node that is told of it.
    pub services: BTreeMap<ServiceId, Arc<ServiceOrder>>,
    /// Only those that a task of this node uses.
    pub secrets: BTreeMap<SecretId, FileOrder>,
    pub configs: BTreeMap<ConfigId, FileOrder>,
    /// The other nodes that the networks and services above name: nothing is sent to, or taken from,
    /// any other.
    pub peers: BTreeMap<NodeId, PeerOrder>,
}

/// What concerns the node itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeOrder {
    pub id: NodeId,
    pub hostname: String,
    pub role: Role,
    pub availability: Availability,
    pub labels: Labels,
}

/// What every node must know of the cluster.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterOrder {
    pub id: ClusterId,
    /// Where managers listen, `host:port`.
    pub managers: BTreeMap<NodeId, String>,
    /// UDP port of the overlay; relays between agents use the same number over TCP.
    pub data_path_port: u16,
    /// Authenticates ingress relays between agents.
    pub relay_key: String,
    /// What the host's certificate and trust must be like: one that is not so renews at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<NodeTrust>,
}

impl std::fmt::Debug for ClusterOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterOrder").field("managers", &self.managers).finish_non_exhaustive()
    }
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerOrder {
    pub hostname: String,
    /// Its IP address.
    pub address: String,
    /// False while it is down: nothing is sent there.
    pub alive: bool,
}

/// One task of this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskOrder {
    pub id: TaskId,
    pub service: ServiceId,
    pub service_name: String,
    pub stack: Option<String>,
    pub slot: Slot,
    /// `service.slot.id`: the container's name.
    pub name: String,
    pub desired: Desired,
    pub not_before: Option<Timestamp>,
    /// With `{{…}}` in hostname, environment and mounts expanded; networks by id.
    pub spec: Arc<TaskSpec>,
    /// In the order of the spec's networks.
    pub attachments: Vec<Attachment>,
    /// Ports in host mode.
    pub host_ports: Vec<PortConfig>,
    /// Labels that the container carries besides its own.
    pub labels: Labels,
    /// `X-Registry-Auth` for the pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_auth: Option<String>,
}

/// One network with this node's part in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkOrder {
    pub id: NetworkId,
    pub name: String,
    pub vni: u32,
    pub subnet: Subnet,
    /// This node's own address on the network.
    pub gateway: Ipv4Addr,
    pub internal: bool,
    pub attachable: bool,
    pub encrypted: bool,
    /// `com.docker.network.driver.mtu` and the like.
    pub options: Labels,
    pub labels: Labels,
    /// Shared: who is on a network is the same for every node that is told of it.
    pub members: Arc<Members>,
}

impl NetworkOrder {
    /// Whether only who is on it may differ.
    #[must_use]
    pub fn is_but_for_members(&self, other: &NetworkOrder) -> bool {
        let NetworkOrder {
            id,
            name,
            vni,
            subnet,
            gateway,
            internal,
            attachable,
            encrypted,
            options,
            labels,
            members: _,
        } = other;
        (&self.id, &self.name, &self.vni, &self.subnet, &self.gateway)
            == (id, name, vni, subnet, gateway)
            && (&self.internal, &self.attachable, &self.encrypted)
                == (internal, attachable, encrypted)
            && (&self.options, &self.labels) == (options, labels)
    }
}

/// Every address on a network and the node that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub tasks: BTreeMap<Ipv4Addr, NodeId>,
    /// Of the nodes that have a task there.
    pub gateways: BTreeMap<Ipv4Addr, NodeId>,
}

/// How to name, balance and publish one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceOrder {
    pub id: ServiceId,
    pub name: String,
    pub stack: Option<String>,
    /// True when names resolve to tasks and there is no virtual address.
    pub dnsrr: bool,
    /// For each network it is on: its virtual address (none for `dnsrr`) and further names.
    pub networks: BTreeMap<NetworkId, ServiceNetwork>,
    /// Ports in ingress mode, each with its published port.
    pub ports: Vec<PortConfig>,
    /// Tasks that get traffic. A task that is draining, not healthy or not running is not here.
    pub backends: BTreeMap<TaskId, Backend>,
}

/// A service on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceNetwork {
    pub vip: Option<Ipv4Addr>,
    pub aliases: BTreeSet<String>,
}

/// A task that gets traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    pub node: NodeId,
    pub slot: Slot,
    pub addresses: BTreeMap<NetworkId, Ipv4Addr>,
}

/// The bytes of a secret or config.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOrder {
    pub name: String,
    /// Base64.
    pub data: String,
    /// `golang` when the text is a template; expanded by the agent for each task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templating: Option<String>,
}

impl std::fmt::Debug for FileOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileOrder").field("name", &self.name).finish_non_exhaustive()
    }
}
