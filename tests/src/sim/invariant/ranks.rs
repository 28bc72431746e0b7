//! Ranks only rise.

use orchestrator_core::command::{Applied, ObjectRef};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = ("rank-rises", "a task's rank never falls");

pub(super) fn check(world: &mut World, applied: &Applied) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let mut seen = Vec::new();
    for change in &applied.changes {
        if let ObjectRef::Task(id) = change.object
            && let Some(task) = state.task(id)
        {
            seen.push((id, task.status.state));
        }
    }
    for (id, now) in seen {
        if let Some(before) = world.watch.ranks.insert(id, now).filter(|before| *before > now) {
            return Err(format!("task {id} went from {before} to {now}"));
        }
    }
    Ok(())
}
