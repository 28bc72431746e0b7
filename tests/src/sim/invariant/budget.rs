//! An update takes no more slots out of service at a time than it may.

use std::collections::BTreeSet;

use model::lifecycle::Desired;
use model::object::{Rollout, RolloutKind, RolloutState, Service, Slot};
use model::spec::Availability;
use model::{Millis, TaskState, Timestamp};

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "update-budget",
    "an update or rollback works on at most as many slots at a time as its parallelism, its delay included",
);

pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let mut looked = BTreeSet::new();
    for Move { task, before } in moves {
        let stopped = before
            .is_some_and(|b| b.desired <= Desired::Running && b.state == TaskState::Running)
            && task.desired >= Desired::Draining;
        let Some(service) = state.service(task.service).filter(|_| stopped) else { continue };
        let Some(rollout) = service.rollout.as_ref() else { continue };
        if rollout.state != RolloutState::Running
            || task.template == service.template
            || !looked.insert(service.id)
        {
            continue;
        }
        let config = match rollout.kind {
            RolloutKind::Update => service.spec.effective_update(),
            RolloutKind::Rollback => service.spec.effective_rollback(),
        };
        let delay = Millis::from_nanos(config.delay);
        let away = under_way(state, service, rollout, delay, super::leader_time(world));
        // Tasks that leave a node have a budget of their own, of the same size.
        let moving = state.nodes().any(|n| n.spec.availability != Availability::Active);
        let most = if moving { config.parallelism * 2 } else { config.parallelism };
        if config.parallelism > 0 && away.len() as u64 > most {
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

/// Slots whose old task this change has stopped, and whose new one has not run for the delay yet.
fn under_way(
    state: &orchestrator_core::State,
    service: &Service,
    rollout: &Rollout,
    delay: Millis,
    time: Timestamp,
) -> BTreeSet<Slot> {
    let (mut stopped, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    for task in state.tasks_of(service.id) {
        let old = task.template != service.template;
        if old && task.drain.is_some_and(|d| d.since >= rollout.started_at) {
            stopped.insert(task.slot);
        }
        let wanted = task.desired <= Desired::Running && !task.status.state.is_terminal();
        let since = task.status.running_since;
        let first_try = task.restarts.in_a_row == 0
            && since.is_none_or(|since| {
                // One that a change before this one began is not this one's to wait for.
                since + delay > time && task.meta.created_at >= rollout.started_at
            });
        if !old && wanted && first_try {
            waiting.insert(task.slot);
        }
    }
    stopped.intersection(&waiting).copied().collect()
}
