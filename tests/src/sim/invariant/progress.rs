//! The planner does not propose again and again what is refused.

use orchestrator_core::command::Applied;
use orchestrator_core::{Batch, Entry};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("plans-get-on", "what the planner proposes is not refused more than a few times in a row");

/// Clients and other batches of the same plan come between now and then; not for ever.
const MOST: u32 = 12;

pub(super) fn check(world: &mut World, entry: &Entry, applied: &Applied) -> Result<(), String> {
    let Entry { batch: Batch { commands, base }, .. } = entry;
    if base.is_none() {
        return Ok(());
    }
    let Some(Err(refusal)) = applied.responses.first() else {
        world.watch.refused = 0;
        return Ok(());
    };
    world.watch.refused += 1;
    if world.settings.trace {
        world.trace.push(format!("{:>9} refused: {refusal}: {commands:?}", world.elapsed_ms()));
    }
    if world.watch.refused > MOST {
        return Err(format!("refused once more: {refusal}: {commands:?}"));
    }
    Ok(())
}
