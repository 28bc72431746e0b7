//! The host's time in the cluster's units.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::{Millis, Timestamp};

/// Milliseconds since 1970: this host's wall clock when it was first asked, counted on by the
/// monotonic clock. A clock that is set back while we run holds no step up.
#[must_use]
pub fn now() -> Timestamp {
    static BEGAN: OnceLock<(Instant, Timestamp)> = OnceLock::new();
    let (began, at) = BEGAN.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    });
    *at + Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}
