//! An update takes no more slots out of service at a time than it may.

use std::collections::BTreeSet;

use model::lifecycle::Desired;
use model::object::{Rollout, RolloutState, Service, Slot, Task};
use model::spec::Availability;
use model::{Millis, TaskState, Timestamp};
use orchestrator_core::State;

use super::super::world::World;
use super::placed::violated;
use super::{Move, config_of};

pub(super) const SAYS: (&str, &str) = (
    "update-budget",
    "an update or rollback works on at most as many slots at a time as its parallelism, its delay included",
);

/// What begins with this entry: a slot whose task serves gets another, or gives it up for another.
/// What was begun is finished whatever else happens meanwhile; a loss elsewhere is no beginning.
pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let time = super::leader_time(world);
    let mut looked = BTreeSet::new();
    for moved in moves {
        let task = &moved.task;
        let Some(service) = state.service(task.service) else { continue };
        let Some(rollout) = service.rollout.as_ref() else { continue };
        if rollout.state != RolloutState::Running
            || !begins(state, service, moved)
            || !looked.insert(service.id)
        {
            continue;
        }
        let config = config_of(service, rollout);
        let delay = Millis::from_nanos(config.delay);
        let away = under_way(state, service, rollout, delay, time);
        if config.parallelism > 0 && away.len() as u64 > config.parallelism {
            return Err(format!(
                "{} replaces {} slots at a time, not {}: {away:?}",
                service.spec.name,
                away.len(),
                config.parallelism
            ));
        }
    }
    Ok(())
}

/// Whether the change itself lays hands on a slot that serves: its old task is stopped before a new
/// one serves, or its new task is made beside it.
fn begins(state: &State, service: &Service, Move { task, before }: &Move) -> bool {
    let in_slot = || state.tasks_in(service.id, task.slot).filter(|t| t.id != task.id);
    if before.is_none() {
        let first_try = task.template == service.template && task.restarts.in_a_row == 0;
        let serves = |t: &&std::sync::Arc<Task>| {
            t.desired <= Desired::Running && t.status.state == TaskState::Running
        };
        return first_try
            && in_slot()
                .filter(serves)
                .any(|t| t.template != service.template && !had_to_leave(state, service, t));
    }
    let stopped = before
        .is_some_and(|b| b.desired <= Desired::Running && b.state == TaskState::Running)
        && task.desired >= Desired::Draining;
    let follows = in_slot().any(|t| {
        let serves = t.desired <= Desired::Running && t.status.state == TaskState::Running;
        serves && t.template == service.template
    });
    stopped && !follows && task.template != service.template && !had_to_leave(state, service, task)
}

/// The task's node does not suit it any more: moves have a budget of their own.
fn had_to_leave(state: &State, service: &Service, task: &Task) -> bool {
    let Some(node) = task.node.and_then(|id| state.node(id)) else { return true };
    let placement = service.templates.get(&task.template).and_then(|t| t.task.placement.as_ref());
    task.leaves
        || node.spec.availability == Availability::Drain
        || placement.is_some_and(|p| violated(p, node).is_some())
}

/// Slots whose task is being replaced by one of this change, which has not run for the delay yet.
fn under_way(
    state: &State,
    service: &Service,
    rollout: &Rollout,
    delay: Millis,
    time: Timestamp,
) -> BTreeSet<Slot> {
    let (mut replaced, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    // Slots whose new task has run: what follows it there is a move or a restart.
    let mut done: BTreeSet<Slot> = BTreeSet::new();
    for task in state.tasks_of(service.id) {
        if task.template != service.template {
            let stopped = task.drain.is_some_and(|d| d.since >= rollout.started_at);
            let beside = task.desired <= Desired::Running && !task.status.state.is_terminal();
            if (stopped || beside) && !had_to_leave(state, service, task) {
                replaced.insert(task.slot);
            }
            continue;
        }
        let wanted = task.desired <= Desired::Running && !task.status.state.is_terminal();
        let since = task.status.running_since;
        // One that a change before this one began is not this one's to wait for.
        let of_this = task.meta.created_at >= rollout.started_at && task.restarts.in_a_row == 0;
        let first = !done.contains(&task.slot);
        if wanted && first && of_this && since.is_none_or(|since| since + delay > time) {
            waiting.insert(task.slot);
        }
        if since.is_some() {
            done.insert(task.slot);
        }
    }
    replaced.intersection(&waiting).copied().collect()
}
