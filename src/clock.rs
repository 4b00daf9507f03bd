//! The only place that reads time. Tests pause it: `now` follows the runtime's clock.
use std::time::Instant;

use chrono::{DateTime, SubsecRound, Utc};

/// Monotonic time, for deadlines and durations.
#[expect(clippy::disallowed_methods, reason = "this is the one door to the clock")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Civil time in whole microseconds (what PostgreSQL keeps), for records that people and other machines read.
#[expect(clippy::disallowed_methods, reason = "this is the one door to the clock")]
pub fn wall() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
