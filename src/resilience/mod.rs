//! Admission, breaker, back-off, restart window and what else is pure: the time is an argument.
pub mod admission;
pub mod agenda;
pub mod backoff;
pub mod breaker;
pub mod busy;
pub mod restart;
pub mod roster;
