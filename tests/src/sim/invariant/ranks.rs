//! Ranks only rise.

use super::Move;

pub(super) const SAYS: (&str, &str) =
    ("rank-rises", "a task's rank never falls, and neither does what is wanted of it");

pub(super) fn check(moves: &[Move]) -> Result<(), String> {
    for Move { task, before } in moves {
        let Some(before) = before else { continue };
        if before.state > task.status.state {
            let now = task.status.state;
            return Err(format!("task {} went from {} to {now}", task.id, before.state));
        }
        if before.desired > task.desired {
            let (was, now) = (before.desired, task.desired);
            return Err(format!("task {} was wanted {was:?}, now {now:?}", task.id));
        }
    }
    Ok(())
}
