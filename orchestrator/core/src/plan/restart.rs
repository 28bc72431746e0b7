//! Says whether and when a slot whose task ended by itself gets another.
//!
//! A restart (the process ended) is counted and backed off. A move (the node was lost) is neither;
//! it does not come here.

use model::object::{Restarts, Task};
use model::reason::Reason;
use model::spec::TaskSpec;
use model::{Millis, TaskState, Timestamp};

/// The back-off after the second failure in a row; the first restart is at once. Doubles.
const FIRST_DELAY: Millis = Millis(500);
/// The longest back-off.
const LONGEST_DELAY: Millis = Millis::from_secs(60);
/// A task that ran this long was healthy: the next failure counts as the first.
const HEALTHY_AFTER: Millis = Millis::from_secs(60);

/// What the policy says about an ended task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start another, with this history, not before then.
    Again { restarts: Restarts, not_before: Option<Timestamp> },
    /// No more; so many attempts were made.
    Exhausted { attempts: u64 },
    /// It is done, and that is how it should be.
    Finished,
}

/// What becomes of a slot whose `task` ended by itself.
pub(super) fn verdict(task: &Task, spec: &TaskSpec, is_job: bool, now: Timestamp) -> Verdict {
    let policy = spec.restart_policy.clone().unwrap_or_default();
    let completed = task.status.state == TaskState::Complete;
    match policy.condition.as_str() {
        _ if is_job && completed => return Verdict::Finished,
        "none" if completed => return Verdict::Finished,
        "on-failure" if completed => return Verdict::Finished,
        "none" => return Verdict::Exhausted { attempts: task.restarts.in_window },
        _ => {}
    }
    let window = policy.window.filter(|w| *w > 0).map(Millis::from_nanos);
    let old = task.passed_on();
    let window_over = match (window, old.window_began) {
        (Some(window), Some(began)) => now.since(began) >= window,
        (None, _) | (_, None) => false,
    };
    let (in_window, window_began) = if window_over || old.window_began.is_none() {
        (0, Some(now))
    } else {
        (old.in_window, old.window_began)
    };
    let most = policy.max_attempts.filter(|m| *m > 0);
    if let Some(Reason::RestartsExhausted { attempts }) = task.waiting {
        // Judged once, when it ended: that its window is over some day starts nothing by itself.
        return Verdict::Exhausted { attempts };
    }
    if most.is_some_and(|most| in_window >= most) {
        return Verdict::Exhausted { attempts: in_window };
    }
    let healthy = task.status.running_since.is_some_and(|since| now.since(since) >= HEALTHY_AFTER);
    let in_a_row = if healthy { 1 } else { old.in_a_row.saturating_add(1) };
    let least = policy.delay.map_or(Millis(0), Millis::from_nanos);
    let delay = back_off(in_a_row).max(least);
    Verdict::Again {
        restarts: Restarts { in_a_row, in_window: in_window + 1, window_began, ..old },
        not_before: (delay > Millis(0)).then(|| now + delay),
    }
}

/// 0, 0.5 s, 1 s, 2 s … 60 s.
fn back_off(failures: u32) -> Millis {
    match failures {
        0 | 1 => Millis(0),
        more => {
            Millis(FIRST_DELAY.0.checked_shl(more - 2).unwrap_or(u64::MAX).min(LONGEST_DELAY.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_back_off() {
        let delays: Vec<u64> = (1..=10).map(|n| back_off(n).0).collect();
        assert_eq!(delays, [0, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!(back_off(u32::MAX), LONGEST_DELAY);
    }
}
