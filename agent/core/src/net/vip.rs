//! Which virtual addresses one container can use, and what must be forgotten when backends go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use model::wire::orders::Orders;

use super::local::Asker;

/// The virtual addresses as seen from one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VipTable {
    /// Virtual address to the tasks behind it; empty: connections are refused.
    pub services: BTreeMap<Ipv4Addr, BTreeSet<Ipv4Addr>>,
}

/// A backend that a namespace no longer sends new connections to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removed {
    pub vip: Ipv4Addr,
    pub backend: Ipv4Addr,
}

/// How much of a removed backend's connections the kernel should forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// All that are not established TCP: those go on until the task is stopped.
    Idle,
    /// All: the task or its node is gone, so each is answered with a reset at once.
    All,
}

/// The table for a container on the asker's networks.
#[must_use]
pub fn table(orders: &Orders, asker: &Asker) -> VipTable {
    let mut services = BTreeMap::new();
    for service in orders.services.values() {
        for network in &asker.networks {
            let Some(vip) = service.networks.get(network).and_then(|n| n.vip) else { continue };
            let backends: BTreeSet<Ipv4Addr> = service
                .backends
                .values()
                .filter_map(|backend| backend.addresses.get(network).copied())
                .collect();
            services.insert(vip, backends);
        }
    }
    VipTable { services }
}

/// The backends that `old` had and `new` has not.
#[must_use]
pub fn removed(old: &VipTable, new: &VipTable) -> BTreeSet<Removed> {
    let none = BTreeSet::new();
    old.services
        .iter()
        .flat_map(|(vip, backends)| {
            let left = new.services.get(vip).unwrap_or(&none);
            backends.difference(left).map(|backend| Removed { vip: *vip, backend: *backend })
        })
        .collect()
}

/// How much to forget of a removed backend now.
#[must_use]
pub fn forget(orders: &Orders, backend: Ipv4Addr) -> Forget {
    let local =
        orders.tasks.values().any(|task| task.attachments.iter().any(|a| a.address == backend));
    let remote = orders.networks.values().find_map(|network| network.members.tasks.get(&backend));
    let alive = remote.and_then(|node| orders.peers.get(node)).is_some_and(|peer| peer.alive);
    if local || alive { Forget::Idle } else { Forget::All }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::names::tests::{NET_A, NET_B, asker, orders};

    #[test]
    fn a_container_sees_the_virtual_addresses_of_its_own_networks_only() {
        let orders = orders();
        let a = table(&orders, &asker(&[NET_A]));
        assert_eq!(
            a.services.keys().copied().collect::<Vec<_>>(),
            [Ipv4Addr::new(10, 1, 0, 5), Ipv4Addr::new(10, 1, 0, 7)]
        );
        let b = table(&orders, &asker(&[NET_B]));
        assert_eq!(b.services.keys().copied().collect::<Vec<_>>(), [Ipv4Addr::new(10, 2, 0, 5)]);
    }

    #[test]
    fn a_backend_is_removed_when_its_service_lost_it_or_went() {
        let vip = Ipv4Addr::new(10, 1, 0, 5);
        let [one, two] = [Ipv4Addr::new(10, 1, 0, 10), Ipv4Addr::new(10, 1, 0, 11)];
        let old = VipTable { services: BTreeMap::from([(vip, BTreeSet::from([one, two]))]) };
        let less = VipTable { services: BTreeMap::from([(vip, BTreeSet::from([two]))]) };
        assert_eq!(removed(&old, &less), BTreeSet::from([Removed { vip, backend: one }]));
        assert_eq!(removed(&old, &VipTable::default()).len(), 2);
        assert!(removed(&less, &old).is_empty());
    }

    #[test]
    fn connections_to_a_task_that_still_runs_are_kept_and_those_to_a_lost_one_forgotten() {
        let mut orders = orders();
        let remote = Ipv4Addr::new(10, 1, 0, 11);
        assert_eq!(forget(&orders, remote), Forget::Idle);
        for peer in orders.peers.values_mut() {
            peer.alive = false;
        }
        assert_eq!(forget(&orders, remote), Forget::All);
        assert_eq!(forget(&orders, Ipv4Addr::new(10, 1, 0, 99)), Forget::All);
    }
}
