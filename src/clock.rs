//! The only place that reads time. Tests pause it: `now` follows the runtime's clock.
use std::time::Instant;

use chrono::{DateTime, SubsecRound, Utc};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// Monotonic time, for deadlines and durations.
#[expect(clippy::disallowed_methods, reason = "this is the one door to the clock")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Milliseconds of real time since the boot, never 0, as of the last tick of the kernel (a few milliseconds ago): for
/// marks that are set at each step of an actor, where reading the exact time would cost more than the step. It goes
/// on while tests pause time: whoever holds a thread holds it in real time.
pub fn coarse_ms() -> u64 {
    // The call has no way to fail: the clock is part of Linux.
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE) else { return 1 };
    u64::try_from(now.num_milliseconds()).unwrap_or(0).max(1)
}

/// Civil time in whole microseconds (what PostgreSQL keeps), for records that people and other machines read.
#[expect(clippy::disallowed_methods, reason = "this is the one door to the clock")]
pub fn wall() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
