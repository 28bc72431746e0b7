//! What is refused changes nothing.

use orchestrator_core::command::Applied;
use orchestrator_core::{Batch, Entry, State};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("refused-is-nothing", "an entry of which everything is refused leaves the state as it was");

/// `before` is the leader's state before the entry.
pub(super) fn check(
    world: &World,
    before: Option<State>,
    entry: &Entry,
    applied: &Applied,
) -> Result<(), String> {
    if applied.responses.is_empty() || applied.responses.iter().any(Result::is_ok) {
        return Ok(());
    }
    let (Some(mut before), Some((_, state))) = (before, world.managers.leading()) else {
        return Ok(());
    };
    if before.revision().0 + 1 != applied.revision.0 {
        // It caught up with entries of the leader before it.
        return Ok(());
    }
    if !applied.changes.is_empty() {
        return Err(format!("a refused entry says that it changed {:?}", applied.changes));
    }
    let nothing = Entry { at: entry.at, batch: Batch { commands: Vec::new(), base: None } };
    let _ = before.apply(applied.revision, &nothing);
    if before == *state {
        Ok(())
    } else {
        Err(format!("something is left of what was refused: {:?}", entry.batch.commands))
    }
}
