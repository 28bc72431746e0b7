//! In peace everything comes to what was asked for, as far as there is room for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use agent_core::worker::{Health, Phase};
use model::lifecycle::Desired;
use model::object::{NodeState, RolloutState, Service, Slot, Task};
use model::spec::{Availability, ModeKind, ServiceSpec};
use model::{NodeId, TaskState};
use orchestrator_core::State;

use super::super::world::World;
use super::explains::{could_take, has_no_node, waits_for_another};
use super::placed::violated;

pub(super) const SAYS: (&str, &str) = (
    "liveness",
    "when trouble ends, every service comes to the tasks it asks for, and only those run",
);

/// As [`settled`], and every node takes tasks.
pub(in crate::sim) fn all_active_and_settled(world: &World) -> Result<(), String> {
    let state = world.managers.newest();
    if let Some(node) = state.nodes().find(|n| n.spec.availability != Availability::Active) {
        return Err(format!("{} takes no tasks", node.description.hostname));
    }
    settled(world)
}

/// What is asked for is there, on hosts as in the state; what has no room says so, rightly.
pub(in crate::sim) fn settled(world: &World) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else {
        return Err("no leader".to_owned());
    };
    if !leader.unseen.is_empty() || leader.planned > 0 {
        return Err("the leader is at work".to_owned());
    }
    for node in state.nodes() {
        if node.status.state != NodeState::Ready {
            let (name, is) = (&node.description.hostname, node.status.state.name());
            return Err(format!("node {name} is {is}"));
        }
    }
    for service in state.services() {
        service_settled(world, state, service)
            .map_err(|why| format!("{}: {why}", service.spec.name))?;
    }
    for host in &world.hosts {
        let node = state.node(host.node).ok_or_else(|| format!("{} has no node", host.name))?;
        for task in host.engine.containers.keys().filter(|t| host.engine.runs(**t)) {
            // Exactly its tasks: no host runs what nobody wants.
            let wanted = state.task(*task).is_some_and(|t| t.desired <= Desired::Running);
            if !wanted {
                return Err(format!("{} still runs task {task}", host.name));
            }
            if node.spec.availability == Availability::Drain {
                return Err(format!("{} is drained and still runs task {task}", host.name));
            }
        }
    }
    Ok(())
}

/// What the cluster keeps of a slot's past, and one that has just ended.
const HISTORY: usize = 6;

/// It should be there, and may yet be.
pub(super) fn is_wanted(task: &Task) -> bool {
    task.desired <= Desired::Running && !task.status.state.is_terminal()
}

fn service_settled(world: &World, state: &State, service: &Service) -> Result<(), String> {
    if service.removed.is_some() {
        return Err("it is still being removed".to_owned());
    }
    let tasks: Vec<&Arc<Task>> = state.tasks_of(service.id).filter(|t| is_wanted(t)).collect();
    let slots: BTreeSet<Slot> = tasks.iter().map(|t| t.slot).collect();
    // A start-first replacement that fits no node waits beside the old task, which goes on; not on a
    // global service's node, which is known beforehand.
    let waits_beside = |t: &&Arc<Task>| {
        let mut others = tasks.iter().filter(|other| other.slot == t.slot && other.id != t.id);
        let waits = has_no_node(t) && matches!(t.slot, Slot::Replica(_));
        waits && could_take(state, t).is_none() && others.any(|other| !has_no_node(other))
    };
    if slots.len() + tasks.iter().copied().filter(waits_beside).count() < tasks.len() {
        let shown: Vec<String> = tasks
            .iter()
            .map(|t| {
                let (state, template) = (t.status.state, t.template.0);
                format!("{:?} {state} {:?} {template} {:?}", t.slot, t.desired, t.waiting)
            })
            .collect();
        return Err(format!("{} slots: {shown:?}, {:?}", slots.len(), service.rollout));
    }
    // What ended well and is not to be started again holds its slot.
    let finished = |t: &&Arc<Task>| {
        t.desired <= Desired::Running && t.status.state == TaskState::Complete && is_final(service)
    };
    let finished: BTreeSet<Slot> =
        state.tasks_of(service.id).filter(finished).map(|t| t.slot).collect();
    let slots: BTreeSet<Slot> = slots.union(&finished).copied().collect();
    match service.spec.mode.kind() {
        ModeKind::Replicated { replicas } if slots.len() as u64 != replicas => {
            return Err(format!("{} slots instead of {replicas}", slots.len()));
        }
        ModeKind::Replicated { .. } => {}
        ModeKind::Global => {
            let wanted = nodes_for(state, service, &slots);
            if slots != wanted {
                return Err(format!("it is on {slots:?} instead of {wanted:?}"));
            }
        }
        ModeKind::ReplicatedJob { total, .. } => {
            let iteration = service.iteration();
            let done = |t: &&Arc<Task>| {
                t.status.state == TaskState::Complete && t.job_iteration == iteration
            };
            let done = state.tasks_of(service.id).filter(done).count() as u64;
            if done > total {
                return Err(format!("{done} completed, of {total}"));
            }
            let waits = |t: &&Arc<Task>| has_no_node(t) || waits_for_another(state, t);
            let stuck = !tasks.is_empty() && tasks.iter().all(waits);
            if done < total && !stuck {
                return Err(format!("{done} of {total} completed"));
            }
        }
        ModeKind::GlobalJob => {
            let iteration = service.iteration();
            let reached = |t: &&Arc<Task>| {
                let there = t.status.state == TaskState::Complete || has_no_node(t);
                t.job_iteration == iteration && (there || waits_for_another(state, t))
            };
            let reached: BTreeSet<Slot> =
                state.tasks_of(service.id).filter(reached).map(|t| t.slot).collect();
            let mut wanted = nodes_for(state, service, &slots).into_iter();
            if let Some(node) = wanted.find(|slot| !reached.contains(slot)) {
                return Err(format!("it is not complete on {node:?}"));
            }
        }
    }
    let of_nobody = |t: &&Arc<Task>| matches!(t.slot, Slot::Node(id) if state.node(id).is_none());
    let left = state.tasks_of(service.id).find(of_nobody);
    if let Some(task) = left.filter(|_| service.job.is_none()) {
        return Err(format!("task {} of a removed node is kept", task.id));
    }
    for slot in state.tasks_of(service.id).map(|t| t.slot).collect::<BTreeSet<Slot>>() {
        let history = state.tasks_in(service.id, slot).filter(|t| t.status.state.is_terminal());
        let history: Vec<String> =
            history.map(|t| format!("{} {} to be {:?}", t.id, t.status.state, t.desired)).collect();
        if history.len() > HISTORY {
            return Err(format!("too many ended tasks are kept of {slot:?}: {history:?}"));
        }
    }
    let mut without_room = false;
    for task in &tasks {
        if has_no_node(task) {
            if let Some(node) = could_take(state, task) {
                return Err(format!("task {} has no node, {node} could take it", task.id));
            }
            without_room = true;
            continue;
        }
        if waits_for_another(state, task) {
            without_room = true;
            continue;
        }
        let host = task.node.and_then(|node| world.by_node.get(&node));
        let runs = host.is_some_and(|at| world.hosts[*at].engine.runs(task.id));
        let phase = host.and_then(|at| world.hosts[*at].engine.containers.get(&task.id));
        if let Some(Phase::Running { health: Health::Unhealthy { .. }, .. }) =
            phase.map(|container| &container.phase)
        {
            return Err(format!("task {} is ill and runs on", task.id));
        }
        let node = task.node.and_then(|id| state.node(id));
        let placement = service.spec.task_template.placement.as_ref();
        if let (Some(node), Some(placement)) = (node, placement)
            && task.template == service.template
            && let Some(constraint) = violated(placement, node)
        {
            let name = &node.description.hostname;
            return Err(format!("task {} stays on {name} against {constraint}", task.id));
        }
        if task.status.state != TaskState::Running || !runs {
            return Err(format!(
                "task {} in {:?} is {}, wanted {:?}, waits for {:?}, its process {}: {} {}",
                task.id,
                task.slot,
                task.status.state,
                task.desired,
                task.waiting,
                if runs { "runs" } else { "does not run" },
                task.status.message,
                task.status.error
            ));
        }
    }
    let image = |spec: &ServiceSpec| {
        spec.task_template.container_spec.as_ref().map_or(String::new(), |c| c.image.clone())
    };
    let outdated = |t: &&&Arc<Task>| {
        let host = t.node.and_then(|node| world.by_node.get(&node));
        let made_from = host.map(|at| world.hosts[*at].engine.recipe(t.id).image);
        t.template == service.template && made_from.is_some_and(|i| i != image(&service.spec))
    };
    if let Some(task) = tasks.iter().filter(|t| !has_no_node(t)).find(outdated) {
        return Err(format!("task {} runs another image than {}", task.id, image(&service.spec)));
    }
    let stays = |t: &&&Arc<Task>| t.leaves && !service.spec.effective_update().starts_first();
    if let Some(task) = tasks.iter().find(stays) {
        return Err(format!("task {} was to move, and stays", task.id));
    }
    // A change leaves out a global service's task on a paused node until that takes tasks again,
    // also one that ended and is not started any more.
    let left_out = |t: &Arc<Task>| {
        let Slot::Node(node) = t.slot else { return false };
        let node = state.node(node);
        t.desired <= Desired::Running
            && t.template != service.template
            && node.is_some_and(|n| n.spec.availability == Availability::Pause)
    };
    if without_room || state.tasks_of(service.id).any(left_out) {
        // A change cannot end before there is room for all.
        return Ok(());
    }
    if service.rollout.as_ref().is_some_and(|r| r.state != RolloutState::Completed) {
        return Err(format!("{:?}", service.rollout));
    }
    match tasks.iter().find(|t| t.template != service.template) {
        Some(task) => Err(format!("task {} has an old template", task.id)),
        None => Ok(()),
    }
}

/// Whether a task that ended well is not started again.
fn is_final(service: &Service) -> bool {
    let policy = service.spec.task_template.restart_policy.as_ref();
    policy.is_some_and(|p| matches!(p.condition.as_str(), "none" | "on-failure"))
}

/// Where a global service should be: every node that takes tasks and meets its constraints. One
/// that is paused keeps what it has.
fn nodes_for(state: &State, service: &Service, held: &BTreeSet<Slot>) -> BTreeSet<Slot> {
    let placement = service.spec.task_template.placement.as_ref();
    let has = |id: NodeId| held.contains(&Slot::Node(id));
    state
        .nodes()
        .filter(|node| match node.spec.availability {
            Availability::Active => true,
            Availability::Pause => has(node.id),
            Availability::Drain => false,
        })
        .filter(|node| {
            let platforms = placement.map(|p| p.platforms.as_slice()).unwrap_or_default();
            platforms.is_empty() || node.description.platform.architecture == "x86_64"
        })
        .filter(|node| placement.is_none_or(|p| violated(p, node).is_none()))
        .map(|node| Slot::Node(node.id))
        .collect()
}
