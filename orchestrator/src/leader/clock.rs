//! The time that goes into entries: the wall clock's, but never backwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Wall-clock time taken once, at start, and counted on by the monotonic clock: a clock that is set
/// while we run neither ends grace periods early nor holds anything up.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    began_at: u64,
    /// What earlier leaders' clocks were ahead of this one.
    ahead: AtomicU64,
    last: AtomicU64,
}

/// The longest wait without a reason: a look now and then costs nothing.
const LONGEST: Duration = Duration::from_secs(3600);

impl Default for Clock {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_at = u64::try_from(since.as_millis()).unwrap_or(0);
        Clock { began: Instant::now(), began_at, ahead: AtomicU64::new(0), last: AtomicU64::new(0) }
    }
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ahead = self.ahead.load(Ordering::Relaxed);
        let now = self.began_at.saturating_add(passed).saturating_add(ahead);
        Timestamp(self.last.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Goes on from `at` when that is ahead: an earlier leader's clock was, and what the log says
    /// of time (back-off, drain, monitor) would hold everything up until ours had come there.
    pub fn catch_up(&self, at: Timestamp) {
        let behind = at.since(self.now()).0;
        self.ahead.fetch_add(behind, Ordering::Relaxed);
    }

    /// Sleeps until `at`; for long when there is no such time.
    pub fn until(&self, at: Option<Timestamp>) -> tokio::time::Sleep {
        let wait = at.map_or(LONGEST, |at| Duration::from_millis(at.since(self.now()).0));
        tokio::time::sleep(wait.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_goes_on_from_its_predecessors_time() {
        let clock = Clock::default();
        let ahead = clock.now() + model::Millis::from_secs(600);
        clock.catch_up(ahead);
        assert!(clock.now() >= ahead);
        clock.catch_up(Timestamp(1));
        assert!(clock.now().since(ahead) < model::Millis::from_secs(60));
    }
}
