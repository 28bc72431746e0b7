//! What has become of a slot's earlier tasks can be looked up.

use std::collections::BTreeMap;

use model::ServiceId;
use model::lifecycle::Desired;
use model::object::Task;
use model::spec::ModeKind;
use orchestrator_core::Entry;
use orchestrator_core::command::{Applied, ChangeKind, Command};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "history-stays",
    "of a slot that goes on, the five tasks that ended last stay on record with their containers",
);

/// What a cluster keeps unless it is told otherwise.
const KEPT: usize = 5;

/// The entry that last ended the record of a task of each service.
#[derive(Default)]
pub(super) struct Dropped(BTreeMap<ServiceId, u64>);

/// Looks at what a plan drops.
pub(super) fn check(world: &mut World, entry: &Entry, applied: &Applied) -> Result<(), String> {
    // A plan that was refused drops nothing.
    if applied.responses.iter().all(Result::is_ok) {
        look(world, entry)?;
    }
    for change in applied.changes.iter().filter(|c| c.kind == ChangeKind::Removed) {
        if let Some(place) = &change.task {
            world.watch.history.0.insert(place.service, applied.revision.0);
        }
    }
    Ok(())
}

fn look(world: &World, entry: &Entry) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let Some(base) = entry.batch.base else { return Ok(()) };
    for command in &entry.batch.commands {
        let Command::SetDesired { task, desired: Desired::Remove } = command else { continue };
        let Some(task) = state.task(*task) else { continue };
        let Some(service) = state.service(task.service).filter(|s| s.removed.is_none()) else {
            continue;
        };
        if !matches!(service.spec.mode.kind(), ModeKind::Replicated { .. }) {
            continue;
        }
        // A node has ended a record meanwhile, of which the plan could not know.
        if world.watch.history.0.get(&task.service).is_some_and(|at| *at > base.0) {
            continue;
        }
        // The slot was held already when this was planned.
        let goes_on = state.tasks_in(task.service, task.slot).any(|t| {
            t.id != task.id && t.desired <= Desired::Running && t.meta.version.0 <= base.0
        });
        // One that failed while it drained was told nothing more.
        let stays = |t: &Task| {
            let failed = t.desired == Desired::Draining && t.status.state.is_terminal();
            t.desired == Desired::Shutdown || failed
        };
        let newer = state
            .tasks_in(task.service, task.slot)
            .filter(|t| stays(t) && t.meta.version > task.meta.version)
            .count();
        if goes_on && newer < KEPT {
            return Err(format!(
                "task {} of {} goes, {newer} of {:?} ended after it",
                task.id, service.spec.name, task.slot
            ));
        }
    }
    Ok(())
}
