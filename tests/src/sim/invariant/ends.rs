//! An update ends, pauses and rolls back for the reasons that it has.

use model::lifecycle::Desired;
use model::object::{Rollout, RolloutKind, RolloutState, Service, Task};
use model::{TaskState, Timestamp};
use orchestrator_core::command::{Applied, Command};
use orchestrator_core::{Entry, State};

use super::super::world::World;
use super::{Move, config_of};

pub(super) const SAYS: (&str, &str) = (
    "update-ends-well",
    "an update completes when every new task has run for its monitor time, pauses or rolls back when it \
     was told to and enough have failed, and replaces nothing more while it is paused",
);

pub(super) fn check(
    world: &World,
    entry: &Entry,
    applied: &Applied,
    moves: &[Move],
) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let Some(base) = entry.batch.base else { return Ok(()) };
    let time = super::leader_time(world);
    for (command, response) in entry.batch.commands.iter().zip(&applied.responses) {
        if response.is_err() {
            continue;
        }
        match command {
            Command::StepRollout { service, rollout, .. } => {
                let Some(service) = state.service(*service) else { continue };
                let judged = match rollout.state {
                    RolloutState::Completed => {
                        let tasks = state.tasks_of(service.id);
                        // What came or changed since it was planned is not known there.
                        let known = tasks.filter(|t| {
                            let seen = world.watch.tasks.get(&t.id);
                            seen.is_some_and(|s| s.version <= base.0)
                        });
                        known.map(|t| &**t).try_for_each(|t| done(service, rollout, t, time))
                    }
                    RolloutState::Paused => paused(state, service, rollout),
                    RolloutState::Running => Ok(()),
                };
                judged.map_err(|why| format!("{}: {why}", service.spec.name))?;
            }
            Command::RollBack { service, .. } => {
                // It is the previous spec by now; what it was told stands in the one before.
                let Some(service) = state.service(*service) else { continue };
                let told = service.previous_spec.as_ref().map(|spec| spec.effective_update());
                if told.is_some_and(|t| t.failure_action != "rollback") {
                    return Err(format!("{} is rolled back unasked", service.spec.name));
                }
            }
            _ => {}
        }
    }
    moves.iter().try_for_each(|moved| stands_still(state, moves, moved))
}

/// One task when its update counts as completed.
fn done(service: &Service, rollout: &Rollout, task: &Task, time: Timestamp) -> Result<(), String> {
    let wanted = task.desired <= Desired::Running && !task.status.state.is_terminal();
    // One that failed and is tried again is not waited for.
    if !wanted || task.restarts.in_a_row > 0 {
        return Ok(());
    }
    let is = task.status.state;
    if task.template != service.template {
        return Err(format!("completed, and task {} has an old template", task.id));
    }
    if task.meta.created_at < rollout.started_at {
        return Ok(());
    }
    match task.status.running_since {
        None => Err(format!("completed, and task {} has never run: it is {is}", task.id)),
        Some(since) if since + config_of(service, rollout).effective_monitor() > time => {
            Err(format!("completed, and task {} runs only since {since:?}", task.id))
        }
        Some(_) => Ok(()),
    }
}

fn paused(state: &State, service: &Service, rollout: &Rollout) -> Result<(), String> {
    let config = config_of(service, rollout);
    if config.failure_action == "continue" {
        return Err("paused, although it was to continue".to_owned());
    }
    if config.failure_action == "rollback"
        && rollout.kind == RolloutKind::Update
        && service.previous_spec.is_none()
    {
        return Err("paused, and there is nothing to roll back to".to_owned());
    }
    let held = state.tasks_of(service.id).filter(|t| t.desired <= Desired::Running);
    let slots: std::collections::BTreeSet<_> = held.map(|t| t.slot).collect();
    let ratio = f64::from(rollout.failures) / slots.len().max(1) as f64;
    // Slots come and go with a change of scale.
    let steady = service
        .spec
        .mode
        .replicated
        .as_ref()
        .is_some_and(|r| r.replicas.unwrap_or(1) == slots.len() as u64);
    if rollout.failures == 0 || (steady && ratio <= config.max_failure_ratio) {
        let (most, failures) = (config.max_failure_ratio, rollout.failures);
        return Err(format!("paused after {failures} failures in {} slots of {most}", slots.len()));
    }
    Ok(())
}

/// While a change is paused, no further slot gets its template.
fn stands_still(state: &State, moves: &[Move], moved: &Move) -> Result<(), String> {
    let task = &moved.task;
    let Some(service) = state.service(task.service).filter(|_| moved.before.is_none()) else {
        return Ok(());
    };
    let paused = service.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Paused);
    if !paused || task.template != service.template {
        return Ok(());
    }
    // The one that it follows, if that was wanted until now.
    let others = state.tasks_in(service.id, task.slot).filter(|t| t.id != task.id);
    let followed = others.last().filter(|last| {
        let before = moves.iter().find(|m| m.task.id == last.id).and_then(|m| m.before);
        let was = before.map_or(last.desired, |b| b.desired);
        was <= Desired::Running && last.status.state != TaskState::Complete
    });
    match followed.filter(|last| last.template != service.template) {
        Some(last) => Err(format!(
            "{} is paused, and task {} replaces {}",
            service.spec.name, task.id, last.id
        )),
        None => Ok(()),
    }
}
