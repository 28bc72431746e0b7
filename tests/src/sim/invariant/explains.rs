//! Whatever is wanted and cannot go on says why, and what it says is true.

use model::lifecycle::Desired;
use model::object::{NodeState, Slot, Task};
use model::reason::Reason;
use model::spec::{Availability, GenericResource, ModeKind};
use model::{NetworkId, NodeId, TaskState};
use orchestrator_core::State;

use super::super::world::World;
use super::placed::violated;

pub(super) const SAYS: (&str, &str) =
    ("everything-explains", "a wanted task that is not on its way to running has a true reason");

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else { return Ok(()) };
    if leader.planned > 0 || !leader.unseen.is_empty() {
        return Ok(());
    }
    for task in state.tasks().filter(|t| t.desired <= Desired::Running) {
        let at = task.status.state;
        let under_way =
            task.node.is_some() && !at.is_terminal() && task.desired == Desired::Running;
        let done = at == TaskState::Complete;
        if !under_way && !done && task.waiting.is_none() && task.status.error.is_empty() {
            return Err(format!("task {} waits without a reason: {task:?}", task.id));
        }
        let no_place =
            matches!(task.waiting, Some(Reason::NoSuitableNode { .. } | Reason::NoAddress { .. }));
        if no_place && task.node.is_some() && !at.is_terminal() {
            return Err(format!("task {} has a node and waits for one: {task:?}", task.id));
        }
    }
    Ok(())
}

/// A node that could take a task which says that none can.
pub(super) fn could_take(state: &State, task: &Task) -> Option<NodeId> {
    takers(state, task).first().copied()
}

/// The nodes that could take one more task like this: judged by arithmetic of its own.
pub(super) fn takers(state: &State, task: &Task) -> Vec<NodeId> {
    let Some(service) = state.service(task.service) else { return Vec::new() };
    let Some(template) = service.templates.get(&task.template) else { return Vec::new() };
    let asked = |t: &Task| {
        let service = state.service(t.service);
        let template = service.and_then(|s| s.templates.get(&t.template));
        let asked = template.and_then(|t| t.task.resources.as_ref());
        let asked = asked.and_then(|r| r.reservations.as_ref());
        asked.map_or((0, 0), |r| (r.nano_cpus, r.memory_bytes))
    };
    let (cpus, memory) = (|t: &Task| asked(t).0, |t: &Task| asked(t).1);
    let placement = template.task.placement.as_ref();
    let most = placement.map_or(0, |p| p.max_replicas);
    state
        .nodes()
        .filter(|node| !matches!(task.slot, Slot::Node(own) if own != node.id))
        .filter(|node| node.status.state == NodeState::Ready)
        .filter(|node| node.spec.availability == Availability::Active)
        .filter(|node| placement.is_none_or(|p| violated(p, node).is_none()))
        .filter(|node| {
            let there: Vec<_> =
                state.tasks_on(node.id).filter(|t| !t.status.state.is_terminal()).collect();
            let taken: i64 = there.iter().map(|t| cpus(t)).sum();
            let own = |t: &&&std::sync::Arc<Task>| {
                t.service == task.service && t.desired <= Desired::Running
            };
            let live = there.iter().filter(own).count() as u64;
            let port_taken = template.host_ports.iter().any(|port| {
                there.iter().any(|t| {
                    let other = state.service(t.service);
                    let other = other.and_then(|s| s.templates.get(&t.template));
                    other.is_some_and(|o| {
                        o.host_ports.iter().any(|p| p.published_port == port.published_port)
                    })
                })
            });
            let has = &node.description.resources;
            let held: i64 = there.iter().map(|t| memory(t)).sum();
            let generic = |t: &Task| gpus(state, t);
            let taken_gpus: i64 = there.iter().map(|t| generic(t)).sum();
            let has_gpus: i64 = sum_of(&has.generic_resources);
            let platforms = placement.map(|p| p.platforms.as_slice()).unwrap_or_default();
            (platforms.is_empty() || node.description.platform.architecture == "x86_64")
                && (generic(task) == 0 || taken_gpus + generic(task) <= has_gpus)
                && addresses_left(state, task, node.id)
                && (cpus(task) == 0 || taken + cpus(task) <= has.nano_cpus)
                && (memory(task) == 0 || held + memory(task) <= has.memory_bytes)
                && (most == 0 || live < most)
                && !port_taken
        })
        .map(|node| node.id)
        .collect()
}

/// What a task has reserved of the one kind of thing that there is.
pub(super) fn gpus(state: &State, task: &Task) -> i64 {
    let service = state.service(task.service);
    let template = service.and_then(|s| s.templates.get(&task.template));
    let asked = template.and_then(|t| t.task.resources.as_ref());
    let asked = asked.and_then(|r| r.reservations.as_ref());
    asked.map_or(0, |r| sum_of(&r.generic_resources))
}

pub(super) fn sum_of(resources: &[GenericResource]) -> i64 {
    resources.iter().filter_map(|r| r.discrete_resource_spec.as_ref()).map(|d| d.value).sum()
}

/// Every network of the task has an address for it, and for the node if that has none there.
fn addresses_left(state: &State, task: &Task, node: NodeId) -> bool {
    let service = state.service(task.service);
    let template = service.and_then(|s| s.templates.get(&task.template));
    let networks = template.iter().flat_map(|t| &t.task.networks);
    networks.filter_map(|n| n.target.parse().ok()).all(|id: NetworkId| {
        let Some(network) = state.network(id) else { return false };
        let used = |node: &NodeId| {
            let holds = |t: &Task| {
                let lost = t.status.state == TaskState::Orphaned;
                (lost || !t.status.state.is_terminal())
                    && t.attachments.iter().any(|a| a.network == id)
            };
            state.tasks_on(*node).any(|t| holds(t))
        };
        let idle = network.gateways.keys().filter(|n| **n != node && !used(n)).count();
        let free = state.pool(id).map_or(0, |pool| pool.free()) + idle;
        free >= if network.gateways.contains_key(&node) { 1 } else { 2 }
    })
}

/// Whether a task waits for another service that has not come so far.
pub(super) fn waits_for_another(state: &State, task: &Task) -> bool {
    let Some(Reason::Dependency { service, .. }) = &task.waiting else { return false };
    let Some(other) = state.service_named(service) else { return false };
    if let ModeKind::ReplicatedJob { total, .. } = other.spec.mode.kind() {
        let iteration = other.iteration();
        let done = state.tasks_of(other.id).filter(|t| t.job_iteration == iteration);
        let done = done.filter(|t| t.status.state == TaskState::Complete);
        return (done.count() as u64) < total;
    }
    let wanted = other.spec.mode.replicated.as_ref().map_or(1, |r| r.replicas.unwrap_or(1));
    let runs = |t: &&std::sync::Arc<Task>| {
        t.desired <= Desired::Running && t.status.state == TaskState::Running
    };
    let tasks = || state.tasks_of(other.id).filter(|t| t.desired <= Desired::Running);
    other.job.is_some()
        || (tasks().filter(runs).count() as u64) < wanted
        || tasks().any(|t| t.status.state != TaskState::Running)
}

/// Whether a task says that no node can take it.
pub(super) fn has_no_node(task: &Task) -> bool {
    matches!(task.waiting, Some(Reason::NoSuitableNode { .. } | Reason::NoAddress { .. }))
}
