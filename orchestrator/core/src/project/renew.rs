//! Makes what was touched of one node's orders again; the parts that nodes share, once for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::wire::orders::{
    Change, ClusterOrder, Delta, Fence, MembersChange, Orders, ServiceOrder,
};
use model::{ConfigId, NetworkId, NodeId, SecretId, ServiceId};

use super::parts::{self, Names};
use super::table::{News, Table};
use super::touched::Touched;
use crate::State;

/// The parts that are the same for every node, each made once for all of them.
#[derive(Default)]
pub(super) struct Parts {
    cluster: Option<ClusterOrder>,
    services: BTreeMap<ServiceId, Option<Arc<ServiceOrder>>>,
    /// What changed of services that were told before.
    pub(super) changed: BTreeMap<ServiceId, Renewed>,
    /// What changed on networks.
    pub(super) news: BTreeMap<NetworkId, News>,
}

/// What has changed of a service.
pub(super) struct Renewed {
    /// What whoever has been told of all the changes before has.
    before: Arc<ServiceOrder>,
    /// Nodes with a first backend, and without any more.
    joined: BTreeSet<NodeId>,
    left: BTreeSet<NodeId>,
}

impl Renewed {
    pub(super) fn between(before: Arc<ServiceOrder>, new: &Arc<ServiceOrder>) -> Renewed {
        let (old, new) = (before.names(), new.names());
        let (joined, left) = (&new - &old, &old - &new);
        Renewed { before, joined, left }
    }
}

impl Parts {
    pub(super) fn service(&mut self, state: &State, id: ServiceId) -> Option<&Arc<ServiceOrder>> {
        self.services.entry(id).or_insert_with(|| parts::service(state, id)).as_ref()
    }

    pub(super) fn cluster(&mut self, state: &State) -> &ClusterOrder {
        self.cluster.get_or_insert_with(|| parts::cluster(state))
    }
}

/// Makes the touched parts of one node's orders again, in place; answers what changed.
pub(super) fn renew(
    state: &State,
    node: NodeId,
    (old, named): (&mut Orders, &mut BTreeMap<NodeId, u32>),
    touched: &Touched,
    parts: &mut Parts,
    tables: &mut BTreeMap<NetworkId, Table>,
    term: u64,
) -> Delta {
    let to = Fence { term, revision: state.revision() };
    let mut delta = Delta { from: old.fence, to, ..Delta::default() };
    let Some(known) = state.node(node) else {
        let new = Orders { fence: to, ..Orders::default() };
        let delta = old.delta_to(&new);
        *old = new;
        named.clear();
        return delta;
    };
    if touched.cluster {
        let new = parts.cluster(state);
        if *new != old.cluster {
            delta.cluster = Some(new.clone());
            old.cluster = new.clone();
        }
    }
    if touched.nodes.contains(&node) {
        let new = parts::node(known);
        if new != old.node {
            delta.node = Some(new.clone());
            old.node = new;
        }
    }
    if let Some(tasks) = touched.tasks.get(&node) {
        for id in tasks {
            let task = state.task(*id).filter(|t| t.node == Some(node));
            let new = task.and_then(|t| parts::task(state, t));
            put(&mut old.tasks, &mut delta.tasks, *id, new);
        }
    }
    // What a node needs follows from its own tasks.
    let own = touched.tasks.contains_key(&node);
    let needed = own.then(|| parts::networks_on(state, node));
    let is_needed = |id: &NetworkId| needed.as_ref().is_none_or(|needed| needed.contains(id));
    let known = old.networks.keys().map(|id| (*id, is_needed(id)));
    let known = known.filter(|(id, needs)| !needs || touched.networks.contains_key(id));
    let new = needed.iter().flatten().filter(|id| !old.networks.contains_key(id));
    let looked_at: Vec<(NetworkId, bool)> = known.chain(new.map(|id| (*id, true))).collect();
    let moved = looked_at.iter().any(|(id, needs)| old.networks.contains_key(id) != *needs);
    // Nodes that more, or fewer, parts of the orders name than before.
    let mut counts = Named { own: node, named, news: BTreeSet::new() };
    for (id, needs) in &looked_at {
        let has = old.networks.contains_key(id);
        let mut new = None;
        if *needs {
            let table = tables.entry(*id).or_insert_with(|| Table::of(state, *id));
            new = parts::network(state, *id, node, &table.members);
            if new.is_some() && !has {
                table.told.insert(node);
            }
        }
        match (old.networks.get_mut(id), new) {
            (Some(had), Some(new)) if had.is_but_for_members(&new) => {
                let change = match parts.news.get(id) {
                    Some(news) if Arc::ptr_eq(&news.before, &had.members) => {
                        counts.came(&news.joined);
                        counts.went(&news.left);
                        news.change.clone()
                    }
                    // Told at another moment than the others.
                    Some(_) | None => {
                        counts.note(Some(&*had), Some(&new));
                        Arc::new(MembersChange::between(&had.members, &new.members))
                    }
                };
                had.members = new.members;
                if !change.is_empty() {
                    delta.members.insert(*id, change);
                }
            }
            (had, new) => {
                counts.note(had.as_deref(), new.as_ref());
                put(&mut old.networks, &mut delta.networks, *id, new);
            }
        }
    }
    if moved || touched.specs {
        let networks = needed.unwrap_or_else(|| old.networks.keys().copied().collect());
        let services = parts::services_for(state, &networks);
        let known: BTreeSet<ServiceId> = old.services.keys().copied().collect();
        for id in known.union(&services) {
            let needed = services.contains(id);
            if touched.services.contains(id) || known.contains(id) != needed {
                put_service(state, *id, needed, old, parts, &mut counts, &mut delta);
            }
        }
    } else {
        for id in &touched.services {
            if old.services.contains_key(id) {
                put_service(state, *id, true, old, parts, &mut counts, &mut delta);
            }
        }
    }
    for id in counts.news.union(&touched.nodes).filter(|id| **id != node) {
        let new = counts.named.contains_key(id).then(|| state.node(*id)).flatten();
        put(&mut old.peers, &mut delta.peers, *id, new.map(|n| parts::peer(n)));
    }
    if !own && touched.secrets.is_empty() && touched.configs.is_empty() {
        return delta;
    }
    let (secrets, configs) = parts::files_on(state, node);
    let known: BTreeSet<SecretId> = old.secrets.keys().copied().collect();
    for id in known.union(&secrets) {
        let new = secrets.contains(id).then(|| parts::secret(state, *id)).flatten();
        put(&mut old.secrets, &mut delta.secrets, *id, new);
    }
    let known: BTreeSet<ConfigId> = old.configs.keys().copied().collect();
    for id in known.union(&configs) {
        let new = configs.contains(id).then(|| parts::config(state, *id)).flatten();
        put(&mut old.configs, &mut delta.configs, *id, new);
    }
    delta
}

/// Counts the parts of a node's orders that name another node.
struct Named<'n> {
    own: NodeId,
    named: &'n mut BTreeMap<NodeId, u32>,
    /// Those whose count has changed.
    news: BTreeSet<NodeId>,
}

impl Named<'_> {
    /// A part is replaced by another.
    fn note<P: Names>(&mut self, old: Option<&P>, new: Option<&P>) {
        let names = |part: Option<&P>| part.map(Names::names).unwrap_or_default();
        let (old, new) = (names(old), names(new));
        self.came(new.difference(&old));
        self.went(old.difference(&new));
    }

    /// A part names these as well.
    fn came<'i>(&mut self, ids: impl IntoIterator<Item = &'i NodeId>) {
        for id in ids.into_iter().filter(|id| **id != self.own) {
            *self.named.entry(*id).or_default() += 1;
            self.news.insert(*id);
        }
    }

    /// A part names these no more.
    fn went<'i>(&mut self, ids: impl IntoIterator<Item = &'i NodeId>) {
        for id in ids.into_iter().filter(|id| **id != self.own) {
            if let Some(count) = self.named.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    self.named.remove(id);
                }
            }
            self.news.insert(*id);
        }
    }
}

/// Replaces one entry, and notes it if it differs.
fn put<K: Ord + Copy, V: Clone + PartialEq>(
    map: &mut BTreeMap<K, V>,
    change: &mut Change<K, V>,
    key: K,
    new: Option<V>,
) {
    match new {
        Some(new) if map.get(&key) != Some(&new) => {
            change.set.insert(key, new.clone());
            map.insert(key, new);
        }
        Some(_) => {}
        None => {
            if map.remove(&key).is_some() {
                change.gone.insert(key);
            }
        }
    }
}

/// As [`put`], of a service, which all nodes that are told of it share.
fn put_service(
    state: &State,
    id: ServiceId,
    needed: bool,
    old: &mut Orders,
    parts: &mut Parts,
    counts: &mut Named<'_>,
    delta: &mut Delta,
) {
    let new = needed.then(|| parts.service(state, id)).flatten().cloned();
    match (old.services.get_mut(&id), new, parts.changed.get(&id)) {
        (Some(had), Some(new), Some(change)) if Arc::ptr_eq(had, &change.before) => {
            counts.came(&change.joined);
            counts.went(&change.left);
            had.clone_from(&new);
            delta.services.set.insert(id, new);
        }
        // Told at another moment than the others.
        (had, new, _) => {
            counts.note(had.as_deref(), new.as_ref());
            put(&mut old.services, &mut delta.services, id, new);
        }
    }
}
