//! What may be read of the state: objects by id, by name, by the beginning of an id; their relations.

use std::sync::Arc;

use model::object::{
    Cluster, Config, Network, Node, Revision, Secret, Service, Slot, StackHistory, Task,
};
use model::spec::Protocol;
use model::wire::session::TaskReport;
use model::{ConfigId, Id, NetworkId, NodeId, SecretId, ServiceId, TaskId, TaskState, Timestamp};

use super::index::{self, NodeUse, Tally};
use super::pool::Pool;
use super::{Map, State};
use crate::command::ObjectRef;

/// What a text from a user named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lookup<'a, T> {
    One(&'a Arc<T>),
    None,
    /// The beginning of several ids, or the name of several nodes.
    Several,
}

impl<'a, T> Lookup<'a, T> {
    /// The one object, if it is one.
    #[must_use]
    pub fn one(self) -> Option<&'a Arc<T>> {
        match self {
            Lookup::One(object) => Some(object),
            Lookup::None | Lookup::Several => None,
        }
    }

    fn of(mut found: impl Iterator<Item = &'a Arc<T>>) -> Self {
        match (found.next(), found.next()) {
            (None, _) => Lookup::None,
            (Some(one), None) => Lookup::One(one),
            (Some(_), Some(_)) => Lookup::Several,
        }
    }
}

impl State {
    /// The position of the last entry applied.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The time of the last entry applied.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Absent until the first entry.
    #[must_use]
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }
}

macro_rules! objects {
    ($($one:ident, $all:ident, $id:ty, $object:ty, $what:literal;)+) => {
        impl State {$(
            #[doc = concat!("The ", $what, " with this id.")]
            #[must_use]
            pub fn $one(&self, id: $id) -> Option<&Arc<$object>> {
                self.$all.get(&id)
            }

            #[doc = concat!("Every ", $what, ", by id.")]
            pub fn $all(&self) -> impl ExactSizeIterator<Item = &Arc<$object>> {
                self.$all.values()
            }
        )+}
    };
}

objects! {
    node, nodes, NodeId, Node, "node";
    service, services, ServiceId, Service, "service (also one being removed)";
    task, tasks, TaskId, Task, "task";
    network, networks, NetworkId, Network, "network (also one being removed)";
    secret, secrets, SecretId, Secret, "secret";
    config, configs, ConfigId, Config, "config";
}

/// The ids that begin with this text, as a range: ids sort as their texts do.
fn beginning_with(text: &str) -> Option<(Id, Id)> {
    if text.is_empty() || text.len() > 25 {
        return None;
    }
    let first: Id = format!("{text:0<25}").parse().ok()?;
    let last = format!("{text:z<25}").parse().unwrap_or(Id(u128::MAX));
    Some((first, last))
}

/// By full id, else by name, else by the beginning of the id.
fn find<'a, I, T>(
    map: &'a Map<I, Arc<T>>,
    text: &str,
    named: Lookup<'a, T>,
    shown: impl Fn(&T) -> bool,
) -> Lookup<'a, T>
where
    I: Ord + From<Id> + Copy,
{
    let exact = text.parse::<Id>().ok().and_then(|id| map.get(&I::from(id)));
    if let Some(object) = exact.filter(|o| shown(o)) {
        return Lookup::One(object);
    }
    match named {
        Lookup::One(_) | Lookup::Several => return named,
        Lookup::None => {}
    }
    let Some((first, last)) = beginning_with(text) else { return Lookup::None };
    let range = map.range(I::from(first)..=I::from(last));
    Lookup::of(range.map(|(_, object)| object).filter(|o| shown(o)))
}

impl State {
    /// The node that a user means: by full id, else host name, else the beginning of its id.
    #[must_use]
    pub fn find_node(&self, text: &str) -> Lookup<'_, Node> {
        let has_name = |n: &&Arc<Node>| {
            n.description.hostname == text || (!n.spec.name.is_empty() && n.spec.name == text)
        };
        find(&self.nodes, text, Lookup::of(self.nodes.values().filter(has_name)), |_| true)
    }

    /// The service that a user means: by full id, else name, else the beginning of its id. One
    /// that is being removed is not found.
    #[must_use]
    pub fn find_service(&self, text: &str) -> Lookup<'_, Service> {
        let named = Lookup::of(self.service_named(text).into_iter());
        find(&self.services, text, named, |s| s.removed.is_none())
    }

    /// The task that a user means: by full id, else the beginning of its id.
    #[must_use]
    pub fn find_task(&self, text: &str) -> Lookup<'_, Task> {
        find(&self.tasks, text, Lookup::None, |_| true)
    }

    /// The network that a user means: by full id, else name, else the beginning of its id. One
    /// that is being removed is not found.
    #[must_use]
    pub fn find_network(&self, text: &str) -> Lookup<'_, Network> {
        let named = Lookup::of(self.network_named(text).into_iter());
        find(&self.networks, text, named, |n| n.removed.is_none())
    }

    /// The secret that a user means: by full id, else name, else the beginning of its id.
    #[must_use]
    pub fn find_secret(&self, text: &str) -> Lookup<'_, Secret> {
        find(&self.secrets, text, Lookup::of(self.secret_named(text).into_iter()), |_| true)
    }

    /// The config that a user means: by full id, else name, else the beginning of its id.
    #[must_use]
    pub fn find_config(&self, text: &str) -> Lookup<'_, Config> {
        find(&self.configs, text, Lookup::of(self.config_named(text).into_iter()), |_| true)
    }

    /// The service of this name that is not being removed.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(self.index.service_names.get(name)?)
    }

    /// The network of this name that is not being removed.
    #[must_use]
    pub fn network_named(&self, name: &str) -> Option<&Arc<Network>> {
        self.networks.get(self.index.network_names.get(name)?)
    }

    /// The network that services with published ports and no network of their own are on.
    #[must_use]
    pub fn ingress_network(&self) -> Option<&Arc<Network>> {
        self.networks.values().find(|n| n.spec.ingress && n.removed.is_none())
    }

    /// The secret of this name.
    #[must_use]
    pub fn secret_named(&self, name: &str) -> Option<&Arc<Secret>> {
        self.secrets.get(self.index.secret_names.get(name)?)
    }

    /// The config of this name.
    #[must_use]
    pub fn config_named(&self, name: &str) -> Option<&Arc<Config>> {
        self.configs.get(self.index.config_names.get(name)?)
    }

    /// What was deployed under this stack's name.
    #[must_use]
    pub fn stack(&self, name: &str) -> Option<&Arc<StackHistory>> {
        self.stacks.get(name)
    }

    /// Every stack of which revisions are kept, by name.
    pub fn stacks(&self) -> impl ExactSizeIterator<Item = &Arc<StackHistory>> {
        self.stacks.values()
    }

    /// A service's tasks by slot, oldest first in each.
    pub fn tasks_of(&self, service: ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        let first = (service, Slot::Replica(0), 0, TaskId(Id(0)));
        let last = (service, Slot::Node(NodeId(Id(u128::MAX))), u64::MAX, TaskId(Id(u128::MAX)));
        self.index.slots.range(first..=last).map(|(_, task)| task)
    }

    /// The tasks of one slot, oldest first.
    pub fn tasks_in(&self, service: ServiceId, slot: Slot) -> impl Iterator<Item = &Arc<Task>> {
        let first = (service, slot, 0, TaskId(Id(0)));
        let last = (service, slot, u64::MAX, TaskId(Id(u128::MAX)));
        self.index.slots.range(first..=last).map(|(_, task)| task)
    }

    /// The tasks that have this node, also ended ones, by id.
    pub fn tasks_on(&self, node: NodeId) -> impl Iterator<Item = &Arc<Task>> {
        let range = (node, TaskId(Id(0)))..=(node, TaskId(Id(u128::MAX)));
        self.index.on_node.range(range).map(|(_, task)| task)
    }

    /// The tasks whose container's id begins with `id`.
    pub fn tasks_with_container(&self, id: &str) -> impl Iterator<Item = &Arc<Task>> {
        let (low, high) = index::container_range(id).unwrap_or((1, 0));
        let range = (low, TaskId(Id(0)))..=(high, TaskId(Id(u128::MAX)));
        let near = (low <= high).then(|| self.index.containers.range(range));
        near.into_iter().flatten().filter_map(|key| self.tasks.get(&key.1)).filter(move |task| {
            task.status.container.as_ref().is_some_and(|c| c.id.starts_with(id))
        })
    }

    /// Whether a report says nothing new, so that it need not be written: the state has it already,
    /// or has no record of the task any more.
    #[must_use]
    pub fn knows(&self, report: &TaskReport) -> bool {
        let Some(task) = self.task(report.task) else { return true };
        let status = &task.status;
        report.state != TaskState::Remove
            && status.state == report.state
            && status.message == report.message
            && status.error == report.error
            && status.container == report.container
            && status.ports == report.ports
    }

    /// The tasks on their way from running to stopped.
    pub fn draining(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.index.draining.iter().filter_map(|id| self.tasks.get(id))
    }

    /// A service's wanted tasks without a node.
    pub fn unplaced(&self, service: ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        let range = (service, TaskId(Id(0)))..=(service, TaskId(Id(u128::MAX)));
        self.index.unplaced.range(range).filter_map(|key| self.tasks.get(&key.1))
    }

    /// The services that have a wanted task without a node.
    pub fn services_waiting_for_room(&self) -> impl Iterator<Item = ServiceId> {
        let mut last = None;
        self.index.unplaced.iter().filter_map(move |(service, _)| {
            (last.replace(*service) != Some(*service)).then_some(*service)
        })
    }

    /// What the tasks of a node hold of it.
    #[must_use]
    pub fn node_use(&self, node: NodeId) -> Arc<NodeUse> {
        self.index.node_use.get(&node).cloned().unwrap_or_default()
    }

    /// The tasks of a service on a node, counted.
    #[must_use]
    pub fn tally(&self, service: ServiceId, node: NodeId) -> Tally {
        self.index.tallies.get(&(service, node)).copied().unwrap_or_default()
    }

    /// The nodes with tasks of a service, and how many.
    pub fn tallies(&self, service: ServiceId) -> impl Iterator<Item = (NodeId, Tally)> {
        let range = (service, NodeId(Id(0)))..=(service, NodeId(Id(u128::MAX)));
        self.index.tallies.range(range).map(|((_, node), tally)| (*node, *tally))
    }

    /// The service that publishes this port on every node.
    #[must_use]
    pub fn port_user(&self, port: (Protocol, u16)) -> Option<ServiceId> {
        self.index.ports.get(&port).copied()
    }

    /// The services that publish a port on every node, one for each port.
    pub fn publishers(&self) -> impl Iterator<Item = ServiceId> {
        self.index.ports.values().copied()
    }

    /// The services whose spec names this network, secret or config.
    pub fn users_of(&self, object: ObjectRef) -> impl Iterator<Item = ServiceId> {
        let range = (object, ServiceId(Id(0)))..=(object, ServiceId(Id(u128::MAX)));
        self.index.users.range(range).map(|(_, service)| *service)
    }

    /// The services that depend on the service of this name.
    pub fn dependents(&self, name: &str) -> impl Iterator<Item = ServiceId> {
        let range =
            (name.to_owned(), ServiceId(Id(0)))..=(name.to_owned(), ServiceId(Id(u128::MAX)));
        let found: Vec<ServiceId> =
            self.index.dependents.range(range).map(|(_, service)| *service).collect();
        found.into_iter()
    }

    /// The nodes where a task holds an address of the network.
    pub fn network_nodes(&self, network: NetworkId) -> impl Iterator<Item = NodeId> {
        let range = (network, NodeId(Id(0)))..=(network, NodeId(Id(u128::MAX)));
        self.index.network_users.range(range).map(|((_, node), _)| *node)
    }

    /// Whether a task of the node holds an address of the network: its gateway there is in use.
    pub(crate) fn has_address_on(&self, network: NetworkId, node: NodeId) -> bool {
        self.index.network_users.contains_key(&(network, node))
    }

    /// The nodes that have a gateway address of the network and no task there any more.
    pub(super) fn idle_gateways(&self, network: NetworkId) -> Vec<NodeId> {
        let Some(known) = self.network(network) else { return Vec::new() };
        let used = |node: &NodeId| self.index.network_users.contains_key(&(network, *node));
        known.gateways.keys().filter(|node| !used(node)).copied().collect()
    }

    /// How many addresses the network can still give, those of idle gateways among them.
    #[must_use]
    pub fn free_addresses(&self, network: NetworkId) -> usize {
        self.pool(network).map_or(0, Pool::free) + self.idle_gateways(network).len()
    }

    /// The addresses of a network.
    #[must_use]
    pub fn pool(&self, network: NetworkId) -> Option<&Pool> {
        self.pools.get(&network).map(|pool| &**pool)
    }
}
