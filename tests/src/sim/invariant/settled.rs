//! In peace everything comes to what was asked for, and says why while it has not.

use model::TaskState;
use model::lifecycle::Desired;
use model::object::{NodeState, RolloutState};
use model::spec::ModeKind;

use super::super::world::World;

pub(super) const CONVERGES: (&str, &str) =
    ("liveness", "when trouble ends, every service comes to the tasks it asks for");
pub(super) const LEAVES_NOTHING: (&str, &str) =
    ("leak", "when everything is removed, no task, network, container or address remains");
pub(super) const EXPLAINS: (&str, &str) =
    ("everything-explains", "a wanted task that is not on its way to running has a reason");

/// What is asked for is there, on hosts as in the state.
pub fn converged(world: &World) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Err("no leader".to_owned()) };
    if let Some(node) = state.nodes().find(|n| n.status.state != NodeState::Ready) {
        return Err(format!("node {} is {}", node.description.hostname, node.status.state.name()));
    }
    for service in state.services() {
        let name = &service.spec.name;
        if service.removed.is_some() {
            return Err(format!("{name} is still being removed"));
        }
        let expected = match service.spec.mode.kind() {
            ModeKind::Replicated { replicas } => replicas,
            ModeKind::Global => world.hosts.len() as u64,
            ModeKind::ReplicatedJob { .. } | ModeKind::GlobalJob => continue,
        };
        let wanted = |t: &&std::sync::Arc<model::object::Task>| {
            t.desired <= Desired::Running && !t.status.state.is_terminal()
        };
        let tasks: Vec<_> = state.tasks_of(service.id).filter(wanted).collect();
        let running = |t: &std::sync::Arc<model::object::Task>| {
            let host = world.hosts.iter().find(|h| Some(h.node) == t.node);
            t.status.state == TaskState::Running && host.is_some_and(|h| h.engine.runs(t.id))
        };
        let up = tasks.iter().filter(|t| running(t)).count() as u64;
        if up != expected || tasks.len() as u64 != expected {
            let shown: Vec<String> = tasks
                .iter()
                .map(|t| format!("{:?} {} {:?} {:?}", t.slot, t.status.state, t.desired, t.waiting))
                .collect();
            return Err(format!("{name}: {up} of {expected} run: {}", shown.join("; ")));
        }
        if service.rollout.as_ref().is_some_and(|r| r.state != RolloutState::Completed) {
            return Err(format!("{name}: {:?}", service.rollout));
        }
        let outdated = |t: &&&std::sync::Arc<model::object::Task>| t.template != service.template;
        if let Some(task) = tasks.iter().find(outdated) {
            return Err(format!("{name}: task {} has an old template", task.id));
        }
    }
    // Exactly its tasks: no host runs what nobody wants.
    for host in &world.hosts {
        for task in host.engine.containers.keys().filter(|t| host.engine.runs(**t)) {
            let wanted = state.task(*task).is_some_and(|t| t.desired <= Desired::Running);
            if !wanted {
                return Err(format!("{} still runs task {task}", host.name));
            }
        }
    }
    Ok(())
}

/// Nothing is left, in the state and on the hosts.
pub fn nothing_left(world: &World) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Err("no leader".to_owned()) };
    if let Some(service) = state.services().next() {
        return Err(format!("service {} is left", service.spec.name));
    }
    if let Some(task) = state.tasks().next() {
        return Err(format!("task {} is left: {:?}", task.id, task.status));
    }
    if let Some(network) = state.networks().find(|n| !n.spec.ingress) {
        return Err(format!("network {} is left", network.spec.name));
    }
    for host in &world.hosts {
        if let Some((task, container)) = host.engine.containers.iter().next() {
            return Err(format!("{} keeps container of task {task}: {container:?}", host.name));
        }
    }
    Ok(())
}

/// Whatever is wanted and cannot go on says why.
pub(super) fn explains(world: &World) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else { return Ok(()) };
    if leader.planned > 0 || leader.plan_queued {
        return Ok(());
    }
    for task in state.tasks().filter(|t| t.desired <= Desired::Running) {
        let at = task.status.state;
        let under_way =
            task.node.is_some() && !at.is_terminal() && task.desired == Desired::Running;
        let done = at == TaskState::Complete;
        if !under_way && !done && task.waiting.is_none() && task.status.error.is_empty() {
            return Err(format!("task {} waits without a reason: {:?}", task.id, task));
        }
    }
    Ok(())
}
