//! Keeps the orders of every node with a session, and says what changed in them.
//!
//! A change of an object touches few parts of few nodes' orders: those are made again, compared
//! and sent. What they are is said in one place, [`Touched`].

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::object::{Revision, Service};
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
    /// Every service that has changed, as it was then. Much of what changes of one is told to nobody.
    seen: BTreeMap<ServiceId, Arc<Service>>,
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
#[derive(Default)]
struct Parts {
    cluster: Option<ClusterOrder>,
    services: BTreeMap<ServiceId, Option<Arc<ServiceOrder>>>,
    /// What changed of services that were told before.
    changed: BTreeMap<ServiceId, Renewed>,
    /// What changed on networks.
    news: BTreeMap<NetworkId, News>,
}

/// What has changed of a service.
struct Renewed {
    /// What whoever has been told of all the changes before has.
    before: Arc<ServiceOrder>,
    /// Nodes with a first backend, and without any more.
    joined: BTreeSet<NodeId>,
    left: BTreeSet<NodeId>,
}

impl Renewed {
    fn between(before: Arc<ServiceOrder>, new: &Arc<ServiceOrder>) -> Renewed {
        let (old, new) = (before.names(), new.names());
        let (joined, left) = (&new - &old, &old - &new);
        Renewed { before, joined, left }
    }
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
        let mut touched = self.touched(state, applied);
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

    fn touched<'a>(
        &mut self,
        state: &State,
        applied: impl IntoIterator<Item = &'a Applied>,
    ) -> Touched {
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
                    if self.says_the_same(state, id) {
                        continue;
                    }
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
                    if !self.serves_as_told(state, place.service, id) {
                        touched.services.insert(place.service);
                    }
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

    /// Whether a service is, to its tasks and to whom must know it, what it was before its last change:
    /// a step of its rollout is nothing to them.
    fn says_the_same(&mut self, state: &State, id: ServiceId) -> bool {
        let Some(now) = state.service(id) else {
            self.seen.remove(&id);
            return false;
        };
        let Some(before) = self.seen.insert(id, now.clone()) else { return false };
        let words = |s: &Service| (s.template, s.removed.is_some());
        words(&before) == words(now)
            && before.spec.name == now.spec.name
            && before.spec.labels == now.spec.labels
            && before.endpoint == now.endpoint
            && before.registry_auth == now.registry_auth
    }

    /// Whether a task is the backend of its service, or none, that nodes were told: most of what a
    /// task reports changes nothing of that.
    fn serves_as_told(&self, state: &State, service: ServiceId, task: TaskId) -> bool {
        let Some(told) = self.services.get(&service) else { return false };
        let now = state.task(task).and_then(|task| parts::backend(task));
        told.backends.get(&task) == now.as_ref()
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
