//! What a container's DNS question is answered with.
//!
//! Scoped by the asker: a name means something only on the networks that the asking container is
//! on. Known are services, their aliases, `tasks.` before either, tasks by their container's name,
//! this node's tasks by their host name too, and this node's containers on attachable networks.
//! Everything else is for the servers that the container would have asked without us.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use model::NetworkId;
use model::wire::orders::{Orders, ServiceOrder};

use super::local::{Asker, LocalContainer};

/// All names of a node's networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    networks: BTreeMap<NetworkId, Zone>,
    /// Network names in lower case, for `name.network`.
    by_name: BTreeMap<String, NetworkId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Zone {
    name: String,
    entries: BTreeMap<String, Entry>,
    /// Address to the name it is asked back as.
    reverse: BTreeMap<Ipv4Addr, String>,
    subnet: Option<model::object::Subnet>,
}

/// What one name stands for. Several services may share an alias.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    virtual_addresses: BTreeSet<Ipv4Addr>,
    /// Of services without virtual address, of `tasks.` names, of containers.
    direct: BTreeSet<Ipv4Addr>,
    /// Behind the virtual addresses, for askers in whose namespace these do not work.
    behind: BTreeSet<Ipv4Addr>,
}

/// Whether the asker's namespace translates virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vips {
    Work,
    Missing,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is ours; perhaps no task is there to be named.
    Addresses(Vec<Ipv4Addr>),
    Pointer(String),
    /// It lies in one of our networks but nobody has it.
    Nobody,
    /// Not ours: ask elsewhere.
    Elsewhere,
}

impl Names {
    /// The names that hold under `orders` with these containers here.
    #[must_use]
    pub fn new(orders: &Orders, local: &[LocalContainer]) -> Names {
        let mut names = Names::default();
        for (id, network) in &orders.networks {
            names.by_name.insert(network.name.to_ascii_lowercase(), *id);
            let zone = names.networks.entry(*id).or_default();
            zone.name = network.name.to_ascii_lowercase();
            zone.subnet = Some(network.subnet);
        }
        for service in orders.services.values() {
            for (network, on) in &service.networks {
                let Some(zone) = names.networks.get_mut(network) else { continue };
                zone.add_service(service, *network, on.vip, &on.aliases);
            }
        }
        for task in orders.tasks.values() {
            let hostname = task
                .spec
                .container_spec
                .as_ref()
                .map(|c| c.hostname.as_str())
                .filter(|hostname| !hostname.is_empty());
            for attachment in &task.attachments {
                let Some(zone) = names.networks.get_mut(&attachment.network) else { continue };
                zone.add_container(attachment.address, [task.name.as_str()].into_iter());
                zone.add_container(attachment.address, hostname.into_iter());
            }
        }
        for container in local.iter().filter(|c| c.task.is_none()) {
            for (network, address) in &container.addresses {
                let Some(zone) = names.networks.get_mut(network) else { continue };
                zone.add_container(*address, container.names.iter().map(String::as_str));
            }
        }
        names
    }

    /// What `name` (lower case, no dot at the end) is to the asker.
    #[must_use]
    pub fn find(&self, asker: &Asker, vips: Vips, name: &str) -> Found {
        if let Some(address) = reverse_address(name) {
            return self.find_reverse(asker, address);
        }
        let zones = || asker.networks.iter().filter_map(|id| self.networks.get(id));
        if let Some(entry) = zones().find_map(|zone| zone.entries.get(name)) {
            return Found::Addresses(entry.addresses(vips));
        }
        if let Some((name, network)) = name.rsplit_once('.')
            && let Some(id) = self.by_name.get(network)
            && asker.networks.contains(id)
            && let Some(entry) = self.networks.get(id).and_then(|zone| zone.entries.get(name))
        {
            return Found::Addresses(entry.addresses(vips));
        }
        Found::Elsewhere
    }

    fn find_reverse(&self, asker: &Asker, address: Ipv4Addr) -> Found {
        let zone = asker
            .networks
            .iter()
            .filter_map(|id| self.networks.get(id))
            .find(|zone| zone.subnet.is_some_and(|subnet| subnet.contains(address)));
        match zone {
            None => Found::Elsewhere,
            Some(zone) => match zone.reverse.get(&address) {
                Some(name) => Found::Pointer(format!("{name}.{}", zone.name)),
                None => Found::Nobody,
            },
        }
    }
}

impl Zone {
    fn add_service(
        &mut self,
        service: &ServiceOrder,
        network: NetworkId,
        vip: Option<Ipv4Addr>,
        aliases: &BTreeSet<String>,
    ) {
        let tasks: BTreeSet<Ipv4Addr> =
            service.backends.values().filter_map(|b| b.addresses.get(&network).copied()).collect();
        let own = service.name.to_ascii_lowercase();
        let names: BTreeSet<String> =
            aliases.iter().map(|a| a.to_ascii_lowercase()).chain([own.clone()]).collect();
        for name in names {
            let entry = self.entries.entry(format!("tasks.{name}")).or_default();
            entry.direct.extend(&tasks);
            let entry = self.entries.entry(name).or_default();
            match vip {
                Some(vip) => {
                    entry.virtual_addresses.insert(vip);
                    entry.behind.extend(&tasks);
                }
                None => entry.direct.extend(&tasks),
            }
        }
        if let Some(vip) = vip {
            self.reverse.insert(vip, own);
        }
        for (task, backend) in &service.backends {
            if let Some(address) = backend.addresses.get(&network) {
                let slot = backend.slot.in_name(Some(backend.node));
                let name = format!("{}.{slot}.{task}", service.name);
                self.add_container(*address, [name.as_str()].into_iter());
            }
        }
    }

    fn add_container<'a>(&mut self, address: Ipv4Addr, names: impl Iterator<Item = &'a str>) {
        for name in names {
            let name = name.to_ascii_lowercase();
            self.reverse.entry(address).or_insert_with(|| name.clone());
            self.entries.entry(name).or_default().direct.insert(address);
        }
    }
}

impl Entry {
    fn addresses(&self, vips: Vips) -> Vec<Ipv4Addr> {
        let first = match vips {
            Vips::Work => &self.virtual_addresses,
            Vips::Missing => &self.behind,
        };
        first.union(&self.direct).copied().collect()
    }
}

/// The address in `d.c.b.a.in-addr.arpa`.
fn reverse_address(name: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [a, b, c, d] = address.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

/// Puts addresses into an order that depends on `seed` only (Fisher-Yates over SplitMix64).
pub fn shuffle(addresses: &mut [Ipv4Addr], seed: u64) {
    let mut state = seed;
    for last in (1..addresses.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let bound = last as u64 + 1;
        addresses.swap(last, usize::try_from(z % bound).unwrap_or(0));
    }
}

#[cfg(test)]
pub(crate) mod tests;
