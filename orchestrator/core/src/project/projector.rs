//! Keeps the orders of every node with a session, and says what changed in them.
//!
//! A change of an object touches few parts of few nodes' orders: those are made again, compared
//! and sent. What they are is said in one place, [`Touched`].

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::object::Revision;
use model::wire::orders::{
    Change, ClusterOrder, Delta, Fence, MembersChange, Orders, ServiceOrder,
};
use model::{ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId};

use super::parts::Names;
use super::table::{self, News, Table};
use super::{parts, whole};
use crate::State;
use crate::command::{Applied, ObjectRef};
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
    /// What they were told. Most of what a task reports changes nothing of it.
    services: BTreeMap<ServiceId, Arc<ServiceOrder>>,
    /// Who is on each network that any of them has, as they were told.
    tables: BTreeMap<NetworkId, Table>,
    /// Up to where they were told.
    told: Revision,
    /// What all were told of the cluster.
    cluster: Option<ClusterOrder>,
}

/// The parts of orders that some entries touch.
#[derive(Default)]
struct Touched {
    cluster: bool,
    /// Own description changed; also told to the nodes whose orders name it.
    nodes: BTreeSet<NodeId>,
    /// On the node that has the task.
    tasks: BTreeMap<NodeId, BTreeSet<TaskId>>,
    services: BTreeSet<ServiceId>,
    /// A service itself changed, so that other nodes may have to know it.
    specs: bool,
    networks: BTreeMap<NetworkId, table::Touched>,
    secrets: BTreeSet<SecretId>,
    configs: BTreeSet<ConfigId>,
}

/// The parts that are the same for every node, each made once for all of them.
struct Parts {
    cluster: Option<ClusterOrder>,
    services: BTreeMap<ServiceId, Option<Arc<ServiceOrder>>>,
    /// What changed on networks.
    news: BTreeMap<NetworkId, News>,
}

impl Parts {
    fn service(&mut self, state: &State, id: ServiceId) -> Option<&Arc<ServiceOrder>> {
        self.services.entry(id).or_insert_with(|| parts::service(state, id)).as_ref()
    }

    fn cluster(&mut self, state: &State) -> &ClusterOrder {
        self.cluster.get_or_insert_with(|| parts::cluster(state))
    }
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
        let mut touched = Self::touched(state, applied);
        let mut parts = Parts { cluster: None, services: BTreeMap::new(), news: BTreeMap::new() };
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

    /// A service is touched by every report of a task of it, and the cluster by every change of a
    /// node, but few of them change what others are told.
    fn leave_out_unchanged(&mut self, state: &State, touched: &mut Touched, parts: &mut Parts) {
        if touched.cluster {
            let new = parts.cluster(state);
            touched.cluster = self.cluster.as_ref() != Some(new);
            self.cluster = Some(new.clone());
        }
        touched.services.retain(|id| {
            let (old, new) = (self.services.get(id), parts.service(state, *id));
            let same = old.is_some() && old == new;
            match new {
                Some(new) if !same => {
                    self.services.insert(*id, new.clone());
                }
                Some(_) => {}
                None => {
                    self.services.remove(id);
                }
            }
            !same
        });
    }

    fn touched<'a>(state: &State, applied: impl IntoIterator<Item = &'a Applied>) -> Touched {
        let mut touched = Touched::default();
        for change in applied.into_iter().flat_map(|a| &a.changes) {
            match change.object {
                ObjectRef::Cluster => touched.cluster = true,
                ObjectRef::Node(id) => {
                    touched.nodes.insert(id);
                    // Managers' addresses are told to all.
                    touched.cluster = true;
                    let own = touched.tasks.entry(id).or_default();
                    own.extend(state.tasks_on(id).map(|t| t.id));
                }
                ObjectRef::Service(id) => {
                    touched.services.insert(id);
                    touched.specs = true;
                    // A service's own words are in its tasks' orders.
                    for task in state.tasks_of(id) {
                        if let Some(node) = task.node {
                            touched.tasks.entry(node).or_default().insert(task.id);
                        }
                    }
                }
                ObjectRef::Task(id) => {
                    let Some(place) = &change.task else { continue };
                    touched.services.insert(place.service);
                    for network in &place.networks {
                        let on = touched.networks.entry(*network).or_default();
                        on.tasks.insert(id);
                        on.nodes.extend(place.node);
                    }
                    if let Some(node) = place.node {
                        touched.tasks.entry(node).or_default().insert(id);
                    }
                }
                ObjectRef::Network(id) => {
                    touched.networks.entry(id).or_default().itself = true;
                }
                ObjectRef::Secret(id) => {
                    touched.secrets.insert(id);
                }
                ObjectRef::Config(id) => {
                    touched.configs.insert(id);
                }
            }
        }
        touched
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

/// Makes the touched parts of one node's orders again, in place; answers what changed.
fn renew(
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
    let known: BTreeSet<NetworkId> = old.networks.keys().copied().collect();
    let networks = if own { parts::networks_on(state, node) } else { known.clone() };
    // Nodes that more, or fewer, parts of the orders name than before.
    let mut counts = Named { own: node, named, news: BTreeSet::new() };
    for id in known.union(&networks) {
        let (has, needs) = (known.contains(id), networks.contains(id));
        if has == needs && !touched.networks.contains_key(id) {
            continue;
        }
        let mut new = None;
        if needs {
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
    if own || touched.specs {
        let known: BTreeSet<ServiceId> = old.services.keys().copied().collect();
        let services = parts::services_for(state, &networks);
        for id in known.union(&services) {
            if touched.services.contains(id) || known.contains(id) != services.contains(id) {
                let needed = services.contains(id);
                let new = needed.then(|| parts.service(state, *id)).flatten();
                counts.note(old.services.get(id), new);
                put_copy(&mut old.services, &mut delta.services, *id, new);
            }
        }
    } else {
        for id in &touched.services {
            if old.services.contains_key(id) {
                let new = parts.service(state, *id);
                counts.note(old.services.get(id), new);
                put_copy(&mut old.services, &mut delta.services, *id, new);
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

/// As [`put`], of what is shared: copied only if it differs.
fn put_copy<K: Ord + Copy, V: Clone + PartialEq>(
    map: &mut BTreeMap<K, V>,
    change: &mut Change<K, V>,
    key: K,
    new: Option<&V>,
) {
    if new.is_none() || map.get(&key) != new {
        put(map, change, key, new.cloned());
    }
}
