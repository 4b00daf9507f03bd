//! Admission, breaker, back-off and restart window: pure, the time is an argument.
pub mod admission;
pub mod backoff;
pub mod breaker;
pub mod busy;
pub mod restart;
pub mod roster;
