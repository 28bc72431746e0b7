//! An update that starts first stops nothing before that.

use model::lifecycle::Desired;
use model::object::RolloutState;
use model::{Millis, TaskState};

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "starts-first",
    "an update that starts first stops a task that serves only when the new one does, or has no room",
);

/// One that began to serve only after the plan was made was stopped as one that does not.
const SERVES: Millis = Millis(3_000);

pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let time = super::leader_time(world);
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    for Move { task, before } in moves {
        let stopped = before
            .is_some_and(|b| b.desired <= Desired::Running && b.state == TaskState::Running)
            && task.desired >= Desired::Draining
            && task.status.state == TaskState::Running
            && task.status.running_since.is_some_and(|since| time.since(since) >= SERVES);
        let Some(service) = state.service(task.service).filter(|_| stopped) else { continue };
        let Some(rollout) = service.rollout.as_ref() else { continue };
        let config = super::config_of(service, rollout);
        if rollout.state != RolloutState::Running
            || task.template == service.template
            || !config.starts_first()
        {
            continue;
        }
        let others = state.tasks_in(task.service, task.slot).filter(|t| {
            t.id != task.id && t.desired <= Desired::Running && !t.status.state.is_terminal()
        });
        let others: Vec<_> = others.collect();
        let serves = others.iter().any(|t| t.status.state == TaskState::Running);
        let placed = others.iter().find(|t| t.node.is_some() && t.template == service.template);
        if let Some(new) = placed.filter(|_| !serves) {
            return Err(format!(
                "task {} of {} was stopped before {} ran, which is {}",
                task.id, service.spec.name, new.id, new.status.state
            ));
        }
    }
    Ok(())
}
