//! The host's wall clock in the cluster's units.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Milliseconds since 1970 by this host's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
