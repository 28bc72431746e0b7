//! A drain does not take a service away.

use std::collections::BTreeSet;

use model::TaskState;
use model::lifecycle::Desired;
use model::object::{RolloutState, Service, Slot, Task};
use model::spec::{Availability, ModeKind};
use orchestrator_core::State;

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "drain-budget",
    "of a service whose tasks have to move, as many slots at once do not serve as its update may take, else a \
     third; what a node may keep no longer and has nowhere else ends at once",
);

/// Looks at what a plan stops that served.
pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let mut looked = BTreeSet::new();
    for Move { task, before } in moves {
        let stopped = before
            .is_some_and(|b| b.desired <= Desired::Running && b.state == TaskState::Running)
            && task.desired >= Desired::Draining;
        let Some(service) = state.service(task.service).filter(|_| stopped) else { continue };
        let changes = service.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Running);
        let ModeKind::Replicated { replicas } = service.spec.mode.kind() else { continue };
        if changes || service.removed.is_some() || task.template != service.template {
            continue;
        }
        let most = match &service.spec.update_config {
            Some(config) if config.parallelism == 0 => continue,
            Some(config) => config.parallelism,
            None => replicas.div_ceil(3).max(1),
        };
        let away = away(state, service, moves);
        if away.contains(&task.slot) && looked.insert(service.id) && away.len() as u64 > most {
            let name = &service.spec.name;
            return Err(format!(
                "of {name} {} slots move at once, not {most}: {away:?}",
                away.len()
            ));
        }
    }
    Ok(())
}

/// Slots whose task was stopped while it served, and whose next has a node and does not serve yet.
/// One that has been given its node only now did not count when this was planned.
fn away(state: &State, service: &Service, moves: &[Move]) -> BTreeSet<Slot> {
    let assigned = |task: &Task| {
        let moved = moves.iter().find(|m| m.task.id == task.id);
        moved.and_then(|m| m.before).is_some_and(|b| b.state < TaskState::Assigned)
    };
    let on_its_way = |task: &Task| {
        task.desired <= Desired::Running
            && task.node.is_some()
            && task.status.state < TaskState::Running
            && task.restarts.in_a_row == 0
            && !assigned(task)
            && task.template == service.template
    };
    let last = |task: &Task| {
        let older = state.tasks_in(service.id, task.slot).take_while(|t| t.id != task.id);
        older.last().is_some_and(|t| t.drain.is_some() && t.template == service.template)
    };
    state.tasks_of(service.id).filter(|t| on_its_way(t) && last(t)).map(|t| t.slot).collect()
}

/// Looks when the planner has nothing to propose: no service of every node is left on one that is
/// drained.
pub(super) fn check_left(state: &State) -> Result<(), String> {
    for task in state.tasks() {
        let Slot::Node(node) = task.slot else { continue };
        let Some(node) = state.node(node) else { continue };
        let wanted = task.desired <= Desired::Running && !task.status.state.is_terminal();
        if wanted && node.spec.availability == Availability::Drain {
            let name = &node.description.hostname;
            return Err(format!("task {} stays on {name}, which is drained", task.id));
        }
    }
    Ok(())
}
