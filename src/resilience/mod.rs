//! Breaker, back-off and restart window: pure, the time is an argument.
pub mod agenda;
pub mod backoff;
pub mod breaker;
pub mod restart;
pub mod roster;
