//! Keeps the orders of every node with a session, and says what changed in them.
//!
//! A change of an object touches few parts of few nodes' orders ([`Touched`]): those are made again
//! ([`renew`]), compared and sent.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::object::Revision;
use model::wire::orders::{ClusterOrder, Delta, Orders, ServiceOrder};
use model::{NetworkId, NodeId, ServiceId};

use super::renew::{Parts, Renewed, renew};
use super::table::Table;
use super::touched::{Seen, Touched};
use super::{parts, whole};
use crate::State;
use crate::command::Applied;
use crate::state::overlay_networks;

/// The orders of every node with a session, kept current. One per leadership.
#[derive(Clone, Debug, Default)]
pub struct Projector {
    term: u64,
    nodes: BTreeMap<NodeId, Orders>,
    /// The other nodes that the orders of each name, with how many of their parts do.
    named: BTreeMap<NodeId, BTreeMap<NodeId, u32>>,
    /// Which nodes were told of a service, so that only those are told of its change.
    knows: BTreeMap<ServiceId, BTreeSet<NodeId>>,
    seen: Seen,
    /// What they were told. Most of what a task reports changes nothing of it.
    services: BTreeMap<ServiceId, Arc<ServiceOrder>>,
    /// Who is on each network that any of them has, as they were told.
    tables: BTreeMap<NetworkId, Table>,
    /// Up to where they were told.
    told: Revision,
    /// What all were told of the cluster.
    cluster: Option<ClusterOrder>,
}

impl Projector {
    /// A leadership begins.
    #[must_use]
    pub fn new(term: u64) -> Projector {
        Projector { term, ..Projector::default() }
    }

    /// A node has a session: the whole for it. Also what answers its `Resend`.
    pub fn open(&mut self, state: &State, node: NodeId) -> &Orders {
        self.close(node);
        let tables = &mut self.tables;
        if tables.is_empty() {
            self.told = state.revision();
        }
        // What is told as of this state is no older, even if the others have not been told it yet.
        let current = self.told == state.revision();
        let mut whole = whole(state, node, self.term, &mut |id| match tables.entry(id) {
            Entry::Occupied(table) if current => table.get().members.clone(),
            Entry::Occupied(_) => Table::of(state, id).members,
            Entry::Vacant(place) => place.insert(Table::of(state, id)).members.clone(),
        });
        for id in whole.networks.keys() {
            if let Some(table) = tables.get_mut(id) {
                table.told.insert(node);
            }
        }
        for service in whole.services.keys() {
            self.knows.entry(*service).or_default().insert(node);
        }
        // The state may be newer than what the others have been told: then a later one that is what
        // they know is news to this one.
        for (id, new) in &mut whole.services {
            match self.services.get(id) {
                Some(told) if told == new => new.clone_from(told),
                Some(_) => drop(self.services.remove(id)),
                None => {}
            }
        }
        self.cluster = self.cluster.take().filter(|told| *told == whole.cluster);
        self.named.insert(node, parts::named(&whole));
        self.nodes.entry(node).or_insert(whole)
    }

    /// A node's session ended.
    pub fn close(&mut self, node: NodeId) {
        self.named.remove(&node);
        if let Some(old) = self.nodes.remove(&node) {
            for service in old.services.keys() {
                self.knows_no_more(*service, node);
            }
            for network in old.networks.keys() {
                self.is_off(*network, node);
            }
        }
    }

    fn knows_no_more(&mut self, service: ServiceId, node: NodeId) {
        if let Entry::Occupied(mut nodes) = self.knows.entry(service) {
            nodes.get_mut().remove(&node);
            if nodes.get().is_empty() {
                nodes.remove();
            }
        }
    }

    fn is_off(&mut self, network: NetworkId, node: NodeId) {
        if let Entry::Occupied(mut table) = self.tables.entry(network) {
            table.get_mut().told.remove(&node);
            if table.get().told.is_empty() {
                table.remove();
            }
        }
    }

    /// The orders of a node as it was last told.
    #[must_use]
    pub fn orders(&self, node: NodeId) -> Option<&Orders> {
        self.nodes.get(&node)
    }

    /// The deltas for the nodes that one or several entries concern, in the order of the log.
    /// `state` is the one after them.
    #[must_use]
    pub fn update<'a>(
        &mut self,
        state: &State,
        applied: impl IntoIterator<Item = &'a Applied>,
    ) -> BTreeMap<NodeId, Delta> {
        let mut touched = Touched::by(applied, state, &mut self.seen, &self.services);
        let mut parts = Parts::default();
        self.leave_out_unchanged(state, &mut touched, &mut parts);
        for (id, on) in &touched.networks {
            let Entry::Occupied(mut table) = self.tables.entry(*id) else { continue };
            if table.get().told.is_empty() {
                table.remove();
            } else if let Some(news) = table.get_mut().update(state, *id, on) {
                parts.news.insert(*id, news);
            }
        }
        self.told = state.revision();
        let affected = self.affected(state, &touched);
        let mut deltas = BTreeMap::new();
        for node in affected {
            let Some(old) = self.nodes.get_mut(&node) else { continue };
            let named = self.named.entry(node).or_default();
            let tables = &mut self.tables;
            let delta = renew(state, node, (old, named), &touched, &mut parts, tables, self.term);
            if !delta.is_empty() {
                old.fence = delta.to;
            }
            for service in delta.services.set.keys() {
                self.knows.entry(*service).or_default().insert(node);
            }
            for service in &delta.services.gone {
                self.knows_no_more(*service, node);
            }
            for network in &delta.networks.gone {
                self.is_off(*network, node);
            }
            if !delta.is_empty() {
                deltas.insert(node, delta);
            }
        }
        deltas
    }

    /// A service is touched by many a change of its spec, and the cluster by every change of a node,
    /// but few of them change what others are told.
    fn leave_out_unchanged(&mut self, state: &State, touched: &mut Touched, parts: &mut Parts) {
        if touched.cluster {
            let new = parts.cluster(state);
            touched.cluster = self.cluster.as_ref() != Some(new);
            self.cluster = Some(new.clone());
        }
        touched.services.retain(|id| {
            let (old, new) = (self.services.get(id), parts.service(state, *id));
            let same = old.is_some() && old == new;
            match new.cloned() {
                Some(new) if !same => {
                    if let Some(before) = self.services.insert(*id, new.clone()) {
                        parts.changed.insert(*id, Renewed::between(before, &new));
                    }
                }
                Some(_) => {}
                None => {
                    self.services.remove(id);
                }
            }
            !same
        });
    }

    fn affected(&self, state: &State, touched: &Touched) -> BTreeSet<NodeId> {
        if touched.cluster || !touched.secrets.is_empty() || !touched.configs.is_empty() {
            return self.nodes.keys().copied().collect();
        }
        let mut affected: BTreeSet<NodeId> = touched.tasks.keys().copied().collect();
        for id in &touched.nodes {
            let names = |named: &BTreeMap<NodeId, u32>| named.contains_key(id);
            affected.extend(self.named.iter().filter(|(_, named)| names(named)).map(|n| *n.0));
        }
        for id in &touched.services {
            affected.extend(self.knows.get(id).into_iter().flatten());
            let Some(service) = state.service(*id) else { continue };
            if service.endpoint.ports.iter().any(|p| !p.publish_mode.is_host()) {
                return self.nodes.keys().copied().collect();
            }
            let template = service.templates.get(&service.template);
            let on = template.map(|t| overlay_networks(t)).unwrap_or_default();
            for network in on {
                affected.extend(state.network_nodes(network));
            }
        }
        for network in touched.networks.keys() {
            affected.extend(self.tables.get(network).iter().flat_map(|table| &table.told));
        }
        affected.retain(|node| self.nodes.contains_key(node));
        affected
    }
}
