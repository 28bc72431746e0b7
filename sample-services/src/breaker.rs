//! Decides whether a dependency that keeps failing may be asked again (a circuit breaker).
//!
//! Input: outcomes and the time. Output: go on, or not before. Nothing here waits or calls.
//! Closed: everything passes. After [`LIMIT`] failures in a row: open, nothing passes for [`PAUSE`].
//! Then one trial passes; its outcome closes the breaker or opens it again.

use std::time::{Duration, Instant};

/// Failures in a row that open the breaker: more than one request's retries, so that a single lost
/// packet does not.
pub const LIMIT: u32 = 5;

/// How long nothing passes: short enough that a service that came back is noticed at once.
pub const PAUSE: Duration = Duration::from_secs(2);

/// How long a trial may stay unanswered before another is let through (its caller may have gone).
const TRIAL: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    shut_until: Option<Instant>,
    last_error: String,
}

/// Not now.
#[derive(Debug, PartialEq, Eq)]
pub struct Open {
    pub retry_after: Duration,
    pub failures: u32,
    pub last_error: String,
}

impl Breaker {
    /// Asks to make one call. A caller that gets `Ok` reports how it went.
    ///
    /// # Errors
    /// [`Open`] while the dependency is left alone.
    pub fn permit(&mut self, now: Instant) -> Result<(), Open> {
        match self.shut_until {
            Some(until) if now < until => Err(Open {
                retry_after: until - now,
                failures: self.failures,
                last_error: self.last_error.clone(),
            }),
            Some(_) => {
                // This caller is the trial; the others keep waiting for its outcome.
                self.shut_until = Some(now + TRIAL);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub fn failed(&mut self, now: Instant, error: &str) {
        self.failures = self.failures.saturating_add(1);
        error.clone_into(&mut self.last_error);
        if self.failures >= LIMIT {
            self.shut_until = Some(now + PAUSE);
        }
    }

    pub fn is_open(&self) -> bool {
        self.shut_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(at: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..LIMIT {
            assert_eq!(breaker.permit(at), Ok(()));
            breaker.failed(at, "refused");
        }
        breaker
    }

    #[test]
    fn a_success_forgets_the_failures_before_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 0..LIMIT - 1 {
                breaker.failed(now, "refused");
            }
            breaker.succeeded();
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn failures_in_a_row_open_it_and_the_caller_learns_why_and_for_how_long() {
        let now = Instant::now();
        let open = opened(now).permit(now + PAUSE / 4).expect_err("just opened");
        let wanted =
            Open { retry_after: PAUSE * 3 / 4, failures: LIMIT, last_error: "refused".into() };
        assert_eq!(open, wanted);
    }

    #[test]
    fn after_the_pause_one_trial_passes_and_decides() {
        let start = Instant::now();
        let later = start + PAUSE;
        let mut breaker = opened(start);
        assert_eq!(breaker.permit(later), Ok(()));
        assert!(breaker.permit(later).is_err(), "a second caller waits for the trial");
        breaker.failed(later, "refused");
        assert!(breaker.permit(later + PAUSE / 2).is_err(), "a failed trial opens it again");

        assert_eq!(breaker.permit(later + PAUSE), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.permit(later + PAUSE), Ok(()));
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_trial_that_never_reports_does_not_block_for_ever() {
        let start = Instant::now();
        let mut breaker = opened(start);
        assert_eq!(breaker.permit(start + PAUSE), Ok(()));
        assert!(breaker.permit(start + PAUSE + TRIAL / 2).is_err());
        assert_eq!(breaker.permit(start + PAUSE + TRIAL), Ok(()));
    }
}
