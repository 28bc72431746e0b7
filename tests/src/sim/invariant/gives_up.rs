//! An update whose tasks fail does not go on for ever.

use std::collections::BTreeMap;

use model::lifecycle::Desired;
use model::object::RolloutState;
use model::{Millis, ServiceId, TaskState, Timestamp};

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "update-gives-up",
    "an update whose new tasks fail pauses or rolls back, unless it was told to continue",
);

/// Changes by service and start, with when and under which leader their first task failed, and how
/// many have.
pub(super) type Failing = BTreeMap<(ServiceId, Timestamp), (Timestamp, u64, u32)>;

/// How long the planner may take to see it, a slow disk included.
const BOUND: Millis = Millis(8_000);
/// Failures of slots that are given up at the same time are not the change's.
const MANY: u32 = 3;
/// What failed this soon is counted whatever the monitor time is.
const SOON: Millis = Millis(1_000);

pub(super) fn check(world: &mut World, moves: &[Move]) -> Result<(), String> {
    let (now, term, time) = (world.now, world.managers.term, super::leader_time(world));
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let failing = &mut world.watch.failing;
    for Move { task, before } in moves {
        let failed = matches!(task.status.state, TaskState::Failed | TaskState::Rejected)
            && before.is_some_and(|b| !b.state.is_terminal() && b.desired <= Desired::Running)
            && task.desired <= Desired::Running;
        let Some(service) = state.service(task.service).filter(|_| failed) else { continue };
        let Some(rollout) = service.rollout.as_ref() else { continue };
        let config = super::config_of(service, rollout);
        let young = task.status.running_since.is_none_or(|since| time.since(since) <= SOON);
        if rollout.state == RolloutState::Running
            && config.failure_action != "continue"
            && config.max_failure_ratio == 0.0
            && task.template == service.template
            && task.meta.created_at >= rollout.started_at
            && young
        {
            let key = (service.id, rollout.started_at);
            failing.entry(key).or_insert((now, term, 0)).2 += 1;
        }
    }
    failing.retain(|(id, started_at), (_, under, _)| {
        let rollout = state.service(*id).and_then(|s| s.rollout.as_ref());
        *under == term
            && rollout
                .is_some_and(|r| r.state == RolloutState::Running && r.started_at == *started_at)
    });
    let late = |(_, (first, _, number)): &(&_, &(Timestamp, u64, u32))| {
        *number >= MANY && now.since(*first) > BOUND
    };
    match failing.iter().find(late) {
        Some(((id, _), (first, _, number))) => {
            let name = state.service(*id).map_or("", |s| &s.spec.name);
            let since = now.since(*first);
            Err(format!(
                "the change of {name} goes on {since} after the first of {number} failures"
            ))
        }
        None => Ok(()),
    }
}
