//! Decides whether and when a program of a host that ended is started again.

use std::time::Duration;

/// The pause after a first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A program that ran this long has not failed to start; its failures are counted anew.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// What an exit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// It should never end.
    Always,
    /// Exit code 0 means that it is done and wants to stay down.
    UnlessItEndsWell,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    StayDown,
    /// Start again after this pause, with this many quick failures in a row.
    Start {
        pause: Duration,
        failures: u32,
    },
}

/// What follows on an end that nobody asked for.
pub(super) fn next(policy: Policy, end: End, lived: Duration, failures: u32) -> Next {
    if policy == Policy::UnlessItEndsWell && end == End::Code(0) {
        return Next::StayDown;
    }
    let failures = if lived >= LONG_ENOUGH { 1 } else { failures + 1 };
    let doubled = FIRST_PAUSE * 2u32.pow((failures - 1).min(10));
    Next::Start { pause: doubled.min(LONGEST_PAUSE), failures }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(3);

    #[test]
    fn an_agent_that_ends_well_stays_down_and_an_engine_does_not() {
        assert_eq!(next(Policy::UnlessItEndsWell, End::Code(0), MOMENT, 0), Next::StayDown);
        assert_ne!(next(Policy::Always, End::Code(0), MOMENT, 0), Next::StayDown);
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let mut failures = 0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Next::Start { pause, failures: now } =
                next(Policy::UnlessItEndsWell, End::Signal(9), MOMENT, failures)
            else {
                panic!("must start again")
            };
            failures = now;
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn a_long_life_is_forgiven() {
        let next = next(Policy::Always, End::Code(1), LONG_ENOUGH, 7);
        assert_eq!(next, Next::Start { pause: FIRST_PAUSE, failures: 1 });
    }
}
