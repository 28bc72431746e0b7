//! What changed between two orders: deltas add up, and applied to the old orders they give the new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    ClusterOrder, Fence, FileOrder, Members, NetworkOrder, NodeOrder, Orders, PeerOrder,
    ServiceOrder, TaskOrder,
};
use crate::{ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId};

/// What changed between two orders. Applied to the orders at `from` it gives those at `to`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub from: Fence,
    pub to: Fence,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeOrder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterOrder>,
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub tasks: Change<TaskId, TaskOrder>,
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub networks: Change<NetworkId, NetworkOrder>,
    /// Of networks that are as they were but for who is on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<NetworkId, Arc<MembersChange>>,
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub services: Change<ServiceId, Arc<ServiceOrder>>,
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub secrets: Change<SecretId, FileOrder>,
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub configs: Change<ConfigId, FileOrder>,
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub peers: Change<NodeId, PeerOrder>,
    /// What caused the orders of tasks, as W3C `traceparent`, where traces are recorded. No part of the
    /// orders: it is used or lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traces: BTreeMap<TaskId, String>,
}

/// What changed in one map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "K: Ord + Deserialize<'de>, V: Deserialize<'de>"))]
pub struct Change<K: Ord, V> {
    pub set: BTreeMap<K, V>,
    pub gone: BTreeSet<K>,
}

impl<K: Ord, V> Default for Change<K, V> {
    fn default() -> Self {
        Change { set: BTreeMap::new(), gone: BTreeSet::new() }
    }
}

impl<K: Ord + Copy, V: Clone + PartialEq> Change<K, V> {
    /// What turns `old` into `new`.
    #[must_use]
    pub fn between(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Self {
        Change {
            set: new
                .iter()
                .filter(|(k, v)| old.get(k) != Some(*v))
                .map(|(k, v)| (*k, v.clone()))
                .collect(),
            gone: old.keys().filter(|k| !new.contains_key(k)).copied().collect(),
        }
    }

    /// The one change that is this and then `later`.
    #[must_use]
    pub fn then(mut self, later: Change<K, V>) -> Change<K, V> {
        self.set.retain(|k, _| !later.gone.contains(k));
        self.gone.retain(|k| !later.set.contains_key(k));
        self.set.extend(later.set);
        self.gone.extend(later.gone);
        self
    }

    fn apply_to(&self, map: &mut BTreeMap<K, V>) {
        for key in &self.gone {
            map.remove(key);
        }
        map.extend(self.set.iter().map(|(key, value)| (*key, value.clone())));
    }
}

impl<K: Ord, V> Change<K, V> {
    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.gone.is_empty()
    }
}

/// A delta that does not start where the orders are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the delta starts at {from:?}, the orders are at {have:?}")]
pub struct GapError {
    pub have: Fence,
    pub from: Fence,
}

impl Orders {
    /// What turns `self` into `new`.
    #[must_use]
    pub fn delta_to(&self, new: &Orders) -> Delta {
        let mut networks = Change::between(&self.networks, &new.networks);
        let mut members = BTreeMap::new();
        networks.set.retain(|id, order| {
            let Some(old) = self.networks.get(id).filter(|old| old.is_but_for_members(order))
            else {
                return true;
            };
            let change = MembersChange::between(&old.members, &order.members);
            members.insert(*id, Arc::new(change));
            false
        });
        Delta {
            from: self.fence,
            to: new.fence,
            node: (self.node != new.node).then(|| new.node.clone()),
            cluster: (self.cluster != new.cluster).then(|| new.cluster.clone()),
            tasks: Change::between(&self.tasks, &new.tasks),
            networks,
            members,
            services: Change::between(&self.services, &new.services),
            secrets: Change::between(&self.secrets, &new.secrets),
            configs: Change::between(&self.configs, &new.configs),
            peers: Change::between(&self.peers, &new.peers),
            traces: BTreeMap::new(),
        }
    }

    /// Takes a delta in.
    ///
    /// # Errors
    /// [`GapError`] when it does not start at this fence; nothing is changed then.
    pub fn take(&mut self, delta: Delta) -> Result<(), GapError> {
        if delta.from != self.fence {
            return Err(GapError { have: self.fence, from: delta.from });
        }
        self.fence = delta.to;
        if let Some(node) = delta.node {
            self.node = node;
        }
        if let Some(cluster) = delta.cluster {
            self.cluster = cluster;
        }
        delta.tasks.apply_to(&mut self.tasks);
        delta.networks.apply_to(&mut self.networks);
        for (id, change) in &delta.members {
            if let Some(order) = self.networks.get_mut(id) {
                Arc::make_mut(&mut order.members).take(change);
            }
        }
        delta.services.apply_to(&mut self.services);
        delta.secrets.apply_to(&mut self.secrets);
        delta.configs.apply_to(&mut self.configs);
        delta.peers.apply_to(&mut self.peers);
        Ok(())
    }
}

impl Delta {
    /// The one delta that is this and then `later`.
    ///
    /// # Errors
    /// [`GapError`] when `later` does not start where this ends; nothing is lost then but the two.
    pub fn then(self, later: Delta) -> Result<Delta, GapError> {
        if later.from != self.to {
            return Err(GapError { have: self.to, from: later.from });
        }
        let (mut networks, mut members) = (self.networks, self.members);
        members.retain(|id, _| {
            !later.networks.set.contains_key(id) && !later.networks.gone.contains(id)
        });
        networks = networks.then(later.networks);
        for (id, change) in later.members {
            if let Some(order) = networks.set.get_mut(&id) {
                Arc::make_mut(&mut order.members).take(&change);
            } else {
                let both = members.get(&id).map(|first| Arc::new(first.then(&change)));
                members.insert(id, both.unwrap_or(change));
            }
        }
        let mut traces = self.traces;
        // An order that came anew without a cause has none any more.
        traces.retain(|task, _| !later.tasks.set.contains_key(task));
        traces.extend(later.traces);
        Ok(Delta {
            traces,
            from: self.from,
            to: later.to,
            node: later.node.or(self.node),
            cluster: later.cluster.or(self.cluster),
            tasks: self.tasks.then(later.tasks),
            networks,
            members,
            services: self.services.then(later.services),
            secrets: self.secrets.then(later.secrets),
            configs: self.configs.then(later.configs),
            peers: self.peers.then(later.peers),
        })
    }

    /// Nothing but the fence changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.node.is_none()
            && self.cluster.is_none()
            && self.tasks.is_empty()
            && self.networks.is_empty()
            && self.members.is_empty()
            && self.services.is_empty()
            && self.secrets.is_empty()
            && self.configs.is_empty()
            && self.peers.is_empty()
    }
}

impl Members {
    /// Takes a change in.
    pub fn take(&mut self, change: &MembersChange) {
        change.tasks.apply_to(&mut self.tasks);
        change.gateways.apply_to(&mut self.gateways);
    }
}

/// What changed of the members of a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MembersChange {
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub tasks: Change<Ipv4Addr, NodeId>,
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub gateways: Change<Ipv4Addr, NodeId>,
}

impl MembersChange {
    /// What turns `old` into `new`.
    #[must_use]
    pub fn between(old: &Members, new: &Members) -> Self {
        MembersChange {
            tasks: Change::between(&old.tasks, &new.tasks),
            gateways: Change::between(&old.gateways, &new.gateways),
        }
    }

    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.gateways.is_empty()
    }

    fn then(&self, later: &MembersChange) -> MembersChange {
        MembersChange {
            tasks: self.tasks.clone().then(later.tasks.clone()),
            gateways: self.gateways.clone().then(later.gateways.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Revision, Subnet};
    use crate::spec::Labels;

    fn orders(revision: u64, peers: &[(u128, &str)]) -> Orders {
        let peer = |(id, hostname): &(u128, &str)| {
            let hostname = (*hostname).to_owned();
            let order = PeerOrder { hostname, address: String::new(), alive: true };
            (NodeId(crate::Id(*id)), order)
        };
        Orders {
            fence: Fence { term: 1, revision: Revision(revision) },
            peers: peers.iter().map(peer).collect(),
            ..Orders::default()
        }
    }

    fn network(addresses: &[(u8, u128)]) -> NetworkOrder {
        let at = |last: &u8| Ipv4Addr::new(10, 0, 0, *last);
        let tasks = addresses.iter().map(|(last, node)| (at(last), NodeId(crate::Id(*node))));
        NetworkOrder {
            id: NetworkId(crate::Id(9)),
            name: "net".to_owned(),
            vni: 7,
            subnet: Subnet { address: at(&0), prefix: 24 },
            gateway: at(&1),
            internal: false,
            attachable: false,
            encrypted: false,
            options: Labels::new(),
            labels: Labels::new(),
            members: Arc::new(Members { tasks: tasks.collect(), gateways: BTreeMap::new() }),
        }
    }

    #[test]
    fn of_a_network_only_the_members_that_changed_are_told_and_deltas_of_them_add_up() {
        let with = |revision: u64, network: Option<NetworkOrder>| Orders {
            networks: network.into_iter().map(|n| (n.id, n)).collect(),
            ..orders(revision, &[])
        };
        let renamed = NetworkOrder { name: "other".to_owned(), ..network(&[(4, 1)]) };
        let all = [
            with(1, Some(network(&[(2, 1), (3, 2)]))),
            with(2, Some(network(&[(3, 1), (4, 2)]))),
            with(3, Some(network(&[(2, 2), (4, 2)]))),
            with(4, Some(renamed)),
            with(5, None),
            with(6, Some(network(&[(5, 1)]))),
            with(7, Some(network(&[(5, 1), (6, 1)]))),
        ];
        let small = all[0].delta_to(&all[1]);
        assert!(small.networks.is_empty() && small.members.len() == 1, "{small:?}");
        let steps: Vec<Delta> = all.windows(2).map(|two| two[0].delta_to(&two[1])).collect();
        for from in 0..all.len() {
            for to in from + 1..all.len() {
                let mut whole = steps[from].clone();
                for step in &steps[from + 1..to] {
                    whole = whole.then(step.clone()).expect("they follow on each other");
                }
                let mut taken = all[from].clone();
                taken.take(whole).expect("it starts there");
                assert_eq!(taken, all[to], "{from} to {to}");
            }
        }
    }

    #[test]
    fn two_deltas_in_one_do_what_both_do() {
        let first = orders(1, &[(1, "a"), (2, "b")]);
        let second = orders(2, &[(2, "c"), (3, "d")]);
        let third = orders(3, &[(1, "e"), (3, "d")]);
        let both = first
            .delta_to(&second)
            .then(second.delta_to(&third))
            .expect("the second starts where the first ends");
        let mut taken = first.clone();
        taken.take(both).expect("it starts at the first");
        assert_eq!(taken, third);
        assert!(first.delta_to(&second).then(first.delta_to(&third)).is_err());
    }
}
