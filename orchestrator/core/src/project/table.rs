//! The addresses of a network as its nodes were told, and what changed of them: made once for all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::object::Task;
use model::wire::orders::{Change, Members, MembersChange};
use model::{NetworkId, NodeId, TaskId};

use super::parts::is_active;
use crate::State;

/// Every address on a network.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Shared by the orders of all its nodes.
    pub(super) members: Arc<Members>,
    /// The addresses of each task, which are gone with it.
    by_task: BTreeMap<TaskId, Vec<Ipv4Addr>>,
    gateway_of: BTreeMap<NodeId, Ipv4Addr>,
    /// How many addresses each node has here.
    nodes: BTreeMap<NodeId, u32>,
    /// Whose orders have the network.
    pub(super) told: BTreeSet<NodeId>,
}

/// What may have changed on a network.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// The network itself: its gateways.
    pub(super) itself: bool,
    pub(super) tasks: BTreeSet<TaskId>,
    /// Where those are, or were.
    pub(super) nodes: BTreeSet<NodeId>,
}

/// What has changed on a network.
#[derive(Debug)]
pub(super) struct News {
    /// What whoever has been told of all the changes before has.
    pub(super) before: Arc<Members>,
    pub(super) change: Arc<MembersChange>,
    /// Nodes with a first address, and without any more.
    pub(super) joined: BTreeSet<NodeId>,
    pub(super) left: BTreeSet<NodeId>,
}

impl Table {
    /// The network as it is.
    pub(super) fn of(state: &State, id: NetworkId) -> Table {
        let mut table = Table::default();
        let on_it = state.network_nodes(id).flat_map(|node| state.tasks_on(node));
        let tasks = on_it.filter(|t| addresses(t, id).next().is_some()).map(|t| t.id).collect();
        let _ = table.update(state, id, &Touched { itself: true, tasks, nodes: BTreeSet::new() });
        table
    }

    /// Brings it up to date; answers what changed, if anything did.
    pub(super) fn update(
        &mut self,
        state: &State,
        id: NetworkId,
        touched: &Touched,
    ) -> Option<News> {
        let before = self.members.clone();
        let mut change = MembersChange::default();
        let mut nodes = touched.nodes.clone();
        for id_of_task in &touched.tasks {
            let task = state.task(*id_of_task).filter(|t| is_active(t));
            let now: Vec<Ipv4Addr> = task.map(|t| addresses(t, id).collect()).unwrap_or_default();
            let had = self.by_task.remove(id_of_task).unwrap_or_default();
            for address in had.iter().filter(|a| !now.contains(a)) {
                change.tasks.gone.insert(*address);
            }
            if let Some(node) = task.and_then(|t| t.node) {
                change.tasks.set.extend(now.iter().map(|address| (*address, node)));
            }
            if !now.is_empty() {
                self.by_task.insert(*id_of_task, now);
            }
        }
        if touched.itself {
            nodes.extend(self.gateway_of.keys().copied());
            nodes.extend(state.network_nodes(id));
        }
        for node in &nodes {
            self.gateway(state, id, *node, &mut change.gateways);
        }
        settle(&mut change.tasks, &before.tasks);
        settle(&mut change.gateways, &before.gateways);
        if change.is_empty() {
            return None;
        }
        let (mut joined, mut left) = (BTreeSet::new(), BTreeSet::new());
        for (change, old) in [(&change.tasks, &before.tasks), (&change.gateways, &before.gateways)]
        {
            let replaced = change.set.keys().filter_map(|address| old.get(address));
            let gone = change.gone.iter().filter_map(|address| old.get(address));
            for node in change.set.values() {
                let count = self.nodes.entry(*node).or_default();
                *count += 1;
                if *count == 1 {
                    joined.insert(*node);
                }
            }
            for node in replaced.chain(gone) {
                if let Some(count) = self.nodes.get_mut(node) {
                    *count -= 1;
                    if *count == 0 {
                        self.nodes.remove(node);
                        left.insert(*node);
                    }
                }
            }
        }
        // One that left with its task and came with the next has done neither.
        let both: Vec<NodeId> = joined.intersection(&left).copied().collect();
        for node in both {
            joined.remove(&node);
            left.remove(&node);
        }
        Arc::make_mut(&mut self.members).take(&change);
        Some(News { before, change: Arc::new(change), joined, left })
    }

    fn gateway(
        &mut self,
        state: &State,
        id: NetworkId,
        node: NodeId,
        change: &mut Change<Ipv4Addr, NodeId>,
    ) {
        let known = state.network(id).and_then(|network| network.gateways.get(&node));
        let now = known.filter(|_| state.has_address_on(id, node)).copied();
        let had = match now {
            Some(address) => self.gateway_of.insert(node, address),
            None => self.gateway_of.remove(&node),
        };
        if had != now {
            change.gone.extend(had);
            change.set.extend(now.map(|address| (address, node)));
        }
    }
}

fn addresses(task: &Task, network: NetworkId) -> impl Iterator<Item = Ipv4Addr> {
    task.attachments.iter().filter(move |a| a.network == network).map(|a| a.address)
}

/// Leaves only what differs from `old`. An address that went from one task to another is set.
fn settle(change: &mut Change<Ipv4Addr, NodeId>, old: &BTreeMap<Ipv4Addr, NodeId>) {
    change.gone.retain(|address| !change.set.contains_key(address) && old.contains_key(address));
    change.set.retain(|address, node| old.get(address) != Some(node));
}
