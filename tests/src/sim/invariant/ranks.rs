//! Ranks only rise.

use model::Timestamp;

use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "rank-rises",
    "a task's rank never falls, nor what is wanted of it; since when it runs is said by the log",
);

pub(super) fn check(moves: &[Move], clock: Timestamp) -> Result<(), String> {
    for Move { task, before } in moves {
        if let Some(since) = task.status.running_since.filter(|since| *since > clock) {
            return Err(format!("task {} runs since {since:?}, it is {clock:?}", task.id));
        }
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
