//! A planned stop comes after every live node has dropped the task from its routes.

use agent_core::worker::{Container, Health, Phase, Sight, Step};
use model::lifecycle::Desired;
use model::object::NodeState;
use model::{Millis, TaskId, TaskState};

use orchestrator_core::Entry;

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "drained-before-stopped",
    "a task that serves is stopped only when no ready node routes to it, or after 2 s",
);

/// Looks at what a plan ends: what served when it was made drains first.
pub(super) fn check_plan(world: &World, entry: &Entry, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let Some(base) = entry.batch.base else { return Ok(()) };
    for Move { task, before } in moves {
        let served = before.is_some_and(|b| {
            b.version <= base.0 && b.desired <= Desired::Running && b.state == TaskState::Running
        });
        let is_job = state.service(task.service).is_none_or(|s| s.job.is_some());
        // One whose end was written while there was no leader to look at it serves no more.
        let serves = served && task.drain.is_none() && !task.status.state.is_terminal();
        if serves && !is_job && task.desired > Desired::Draining {
            return Err(format!("task {}, which serves, is to be {:?}", task.id, task.desired));
        }
    }
    Ok(())
}

/// How long a stop waits for nodes that do not answer.
const BOUND: Millis = Millis(2_000);

pub(super) fn check(world: &World, host: usize, task: TaskId, step: &Step) -> Result<(), String> {
    if !matches!(step, Step::Stop { .. }) {
        return Ok(());
    }
    let Some((leader, state)) = world.managers.leading() else { return Ok(()) };
    let Some(stopping) = state.task(task) else { return Ok(()) };
    let serves = matches!(stopping.status.state, TaskState::Running | TaskState::Draining);
    let ordered = stopping.desired >= Desired::Draining;
    let ill = match world.hosts[host].worker.sight(task) {
        Sight::Present(Container { phase: Phase::Running { health, .. }, .. }) => {
            matches!(health, Health::Unhealthy { .. })
        }
        Sight::Present(_) | Sight::Absent | Sight::Unknown => false,
    };
    if !serves || !ordered || ill {
        return Ok(());
    }
    let Some(drain) = stopping.drain else {
        // It began to serve only after the order to stop had been given.
        return Ok(());
    };
    if super::leader_time(world).since(drain.since) >= BOUND {
        return Ok(());
    }
    for (at, other) in world.hosts.iter().enumerate() {
        let connected = other.up && leader.sessions.get(&other.node).copied() == other.session;
        let Some(node) = state.node(other.node) else { continue };
        let ready = node.status.state == NodeState::Ready;
        // One that was given up meanwhile was not waited for; it learns with its first orders.
        let learns = !other.told && node.status.since >= drain.since;
        if at == host || !connected || !ready || other.session.is_none() || learns {
            continue;
        }
        let service = other.orders.as_ref().and_then(|o| o.services.get(&stopping.service));
        if service.is_some_and(|s| s.backends.contains_key(&task)) {
            return Err(format!("{} routes to task {task}, which is being stopped", other.name));
        }
    }
    Ok(())
}
