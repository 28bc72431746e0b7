//! The parts of a node's orders, each from the state alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::lifecycle::Desired;
use model::object::{Node, NodeState, Task};
use model::spec::{Labels, Role};
use model::wire::orders::{
    Backend, ClusterOrder, FileOrder, Members, NetworkOrder, NodeOrder, Orders, PeerOrder,
    ServiceNetwork, ServiceOrder, TaskOrder,
};
use model::{ConfigId, Id, NetworkId, NodeId, SecretId, ServiceId, TaskState};

use super::expand;
use crate::State;
use crate::command::ObjectRef;
use crate::state::overlay_networks;

pub(super) fn node(node: &Node) -> NodeOrder {
    NodeOrder {
        id: node.id,
        hostname: node.description.hostname.clone(),
        role: node.spec.role,
        availability: node.spec.availability,
        labels: node.spec.labels.clone(),
    }
}

pub(super) fn cluster(state: &State) -> ClusterOrder {
    let Some(cluster) = state.cluster() else { return ClusterOrder::default() };
    ClusterOrder {
        id: cluster.id,
        managers: state
            .nodes()
            .filter(|n| n.spec.role == Role::Manager)
            .filter_map(|n| Some((n.id, n.manager_address.clone()?)))
            .collect(),
        data_path_port: cluster.data_path_port,
        relay_key: cluster.relay_key.clone(),
        trust: match &cluster.rotation {
            Some(rotation) => Some(rotation.meanwhile()),
            None => cluster.trust.clone(),
        },
    }
}

/// A part of a node's orders that names nodes: it must know where those are.
pub(super) trait Names {
    /// Every node it names, the node itself perhaps among them.
    fn names(&self) -> BTreeSet<NodeId>;
}

impl Names for NetworkOrder {
    fn names(&self) -> BTreeSet<NodeId> {
        self.members.tasks.values().chain(self.members.gateways.values()).copied().collect()
    }
}

impl Names for Arc<ServiceOrder> {
    fn names(&self) -> BTreeSet<NodeId> {
        self.backends.values().map(|backend| backend.node).collect()
    }
}

/// The other nodes that a node's orders name, each with how many of its networks and services do.
pub(super) fn named(orders: &Orders) -> BTreeMap<NodeId, u32> {
    let mut named = BTreeMap::new();
    let networks = orders.networks.values().map(Names::names);
    for id in networks.chain(orders.services.values().map(Names::names)).flatten() {
        if id != orders.node.id {
            *named.entry(id).or_default() += 1;
        }
    }
    named
}

pub(super) fn peer(node: &Node) -> PeerOrder {
    PeerOrder {
        hostname: node.description.hostname.clone(),
        address: node.description.address.clone(),
        alive: matches!(node.status.state, NodeState::Ready | NodeState::Unknown),
    }
}

/// What an ended task is told is never to run again; what was given up is to be cleaned away.
fn desired(task: &Task) -> Desired {
    match task.status.state {
        TaskState::Orphaned => Desired::Remove,
        state if state.is_terminal() => task.desired.max(Desired::Shutdown),
        TaskState::New
        | TaskState::Pending
        | TaskState::Assigned
        | TaskState::Accepted
        | TaskState::Preparing
        | TaskState::Ready
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Draining
        | TaskState::Complete
        | TaskState::Shutdown
        | TaskState::Failed
        | TaskState::Rejected
        | TaskState::Remove => task.desired,
    }
}

/// `service.slot.id`, as Docker names a task's container.
fn name(service: &str, task: &Task) -> String {
    format!("{service}.{}.{}", task.slot.in_name(task.node), task.id)
}

pub(super) fn task(state: &State, task: &Task) -> Option<TaskOrder> {
    let service = state.service(task.service)?;
    let template = service.templates.get(&task.template)?;
    let node = task.node.and_then(|id| state.node(id))?;
    let name = name(&service.spec.name, task);
    let mut labels = Labels::from([
        ("com.docker.swarm.node.id".to_owned(), node.id.to_string()),
        ("com.docker.swarm.service.id".to_owned(), service.id.to_string()),
        ("com.docker.swarm.service.name".to_owned(), service.spec.name.clone()),
        ("com.docker.swarm.task".to_owned(), String::new()),
        ("com.docker.swarm.task.id".to_owned(), task.id.to_string()),
        ("com.docker.swarm.task.name".to_owned(), name.clone()),
    ]);
    if let Some(stack) = &template.stack {
        labels.insert(model::spec::STACK_LABEL.to_owned(), stack.clone());
    }
    let words = expand::Words { service, task, task_name: &name, node };
    let mut spec = template.task.clone();
    if let Some(container) = &mut spec.container_spec {
        expand::container(&words, container);
    }
    Some(TaskOrder {
        id: task.id,
        service: service.id,
        service_name: service.spec.name.clone(),
        stack: template.stack.clone(),
        slot: task.slot,
        name,
        desired: desired(task),
        // The planner holds a start back by `Ready`; the time is for show.
        not_before: task.not_before.filter(|_| task.desired == Desired::Ready),
        spec: Arc::new(spec),
        attachments: task.attachments.clone(),
        host_ports: template.host_ports.clone(),
        labels,
        registry_auth: service.registry_auth.clone(),
    })
}

/// Whether a task needs its networks and files on its node.
pub(super) fn is_active(task: &Task) -> bool {
    !task.status.state.is_terminal()
}

/// The networks that tasks of the node are on.
pub(super) fn networks_on(state: &State, node: NodeId) -> BTreeSet<NetworkId> {
    state
        .tasks_on(node)
        .filter(|t| is_active(t))
        .flat_map(|t| t.attachments.iter().map(|a| a.network))
        .collect()
}

/// The network as a node of it sees it.
pub(super) fn network(
    state: &State,
    id: NetworkId,
    own: NodeId,
    members: &Arc<Members>,
) -> Option<NetworkOrder> {
    let network = state.network(id)?;
    Some(NetworkOrder {
        id,
        name: network.spec.name.clone(),
        vni: network.vni,
        subnet: network.subnet,
        gateway: *network.gateways.get(&own)?,
        internal: network.spec.internal,
        attachable: network.spec.attachable,
        encrypted: network.spec.options.contains_key("encrypted"),
        options: network.spec.options.clone(),
        labels: network.spec.labels.clone(),
        members: members.clone(),
    })
}

/// The services that a node on these networks must know: those on them, and every publisher.
pub(super) fn services_for(state: &State, networks: &BTreeSet<NetworkId>) -> BTreeSet<ServiceId> {
    networks
        .iter()
        .flat_map(|id| state.users_of(ObjectRef::Network(*id)))
        .chain(state.publishers())
        .collect()
}

/// A task as one that gets traffic, if it does.
pub(super) fn backend(task: &Task) -> Option<Backend> {
    let serves = task.status.state == TaskState::Running && task.desired <= Desired::Running;
    let node = task.node.filter(|_| serves)?;
    let addresses = task.attachments.iter().map(|a| (a.network, a.address)).collect();
    Some(Backend { node, slot: task.slot, addresses })
}

pub(super) fn service(state: &State, id: ServiceId) -> Option<Arc<ServiceOrder>> {
    let service = state.service(id).filter(|s| s.removed.is_none())?;
    let template = service.templates.get(&service.template)?;
    let dnsrr = service.spec.endpoint_spec.as_ref().is_some_and(|e| e.is_dnsrr());
    let networks = overlay_networks(template)
        .into_iter()
        .map(|network| {
            let target = network.to_string();
            let aliases = template.task.networks.iter().filter(|n| n.target == target);
            let aliases = aliases.flat_map(|n| n.aliases.iter().cloned()).collect();
            let vip = service.endpoint.vips.get(&network).copied();
            (network, ServiceNetwork { vip, aliases })
        })
        .collect();
    let backends = state.tasks_of(id).filter_map(|t| Some((t.id, backend(t)?))).collect();
    Some(Arc::new(ServiceOrder {
        id,
        name: service.spec.name.clone(),
        stack: template.stack.clone(),
        dnsrr,
        networks,
        ports: service
            .endpoint
            .ports
            .iter()
            .filter(|p| !p.publish_mode.is_host())
            .cloned()
            .collect(),
        backends,
    }))
}

/// The secrets and configs that tasks of the node use.
pub(super) fn files_on(state: &State, node: NodeId) -> (BTreeSet<SecretId>, BTreeSet<ConfigId>) {
    let (mut secrets, mut configs) = (BTreeSet::new(), BTreeSet::new());
    for task in state.tasks_on(node).filter(|t| is_active(t)) {
        let service = state.service(task.service);
        let template = service.and_then(|s| s.templates.get(&task.template));
        let Some(container) = template.and_then(|t| t.task.container_spec.as_ref()) else {
            continue;
        };
        let id = |text: &str| text.parse::<Id>().ok();
        secrets.extend(container.secrets.iter().filter_map(|s| id(&s.secret_id)).map(SecretId));
        configs.extend(container.configs.iter().filter_map(|c| id(&c.config_id)).map(ConfigId));
    }
    (secrets, configs)
}

pub(super) fn secret(state: &State, id: SecretId) -> Option<FileOrder> {
    let spec = &state.secret(id)?.spec;
    Some(FileOrder {
        name: spec.name.clone(),
        data: spec.data.clone(),
        templating: spec.templating.as_ref().map(|d| d.name.clone()).filter(|n| !n.is_empty()),
    })
}

pub(super) fn config(state: &State, id: ConfigId) -> Option<FileOrder> {
    let spec = &state.config(id)?.spec;
    Some(FileOrder {
        name: spec.name.clone(),
        data: spec.data.clone(),
        templating: spec.templating.as_ref().map(|d| d.name.clone()).filter(|n| !n.is_empty()),
    })
}
