//! The host's time in the cluster's units.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Milliseconds since 1970 that never go back: a clock that is set forward is followed (hosts start
/// before they have asked anybody for the time), one that is set back is gone on from by the
/// monotonic clock, so that it holds no step up.
#[must_use]
pub fn now() -> Timestamp {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    let passed = BEGAN.get_or_init(Instant::now).elapsed().as_millis();
    at(&AHEAD, u64::try_from(passed).unwrap_or(u64::MAX), wall())
}

/// Milliseconds since 1970 by this host's clock, as it is set now: for certificates.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `ahead`: by how much the wall clock was ahead of what has `passed`, at most.
fn at(ahead: &AtomicU64, passed: u64, wall: Timestamp) -> Timestamp {
    let here = wall.0.saturating_sub(passed);
    let most = ahead.fetch_max(here, Ordering::Relaxed).max(here);
    Timestamp(most.saturating_add(passed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_forward_is_followed_and_one_set_back_is_not() {
        let ahead = AtomicU64::new(0);
        assert_eq!(at(&ahead, 0, Timestamp(1_000)), Timestamp(1_000));
        assert_eq!(at(&ahead, 50, Timestamp(1_050)), Timestamp(1_050));
        assert_eq!(at(&ahead, 60, Timestamp(9_000)), Timestamp(9_000), "set forward");
        assert_eq!(at(&ahead, 70, Timestamp(10)), Timestamp(9_010), "set back");
    }
}
