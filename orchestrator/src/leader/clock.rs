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
    last: AtomicU64,
}

/// The longest wait without a reason: a look now and then costs nothing.
const LONGEST: Duration = Duration::from_secs(3600);

impl Default for Clock {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_at = u64::try_from(since.as_millis()).unwrap_or(0);
        Clock { began: Instant::now(), began_at, last: AtomicU64::new(0) }
    }
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = self.began_at.saturating_add(passed);
        Timestamp(self.last.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Sleeps until `at`; for long when there is no such time.
    pub fn until(&self, at: Option<Timestamp>) -> tokio::time::Sleep {
        let wait = at.map_or(LONGEST, |at| Duration::from_millis(at.since(self.now()).0));
        tokio::time::sleep(wait.min(LONGEST))
    }
}
