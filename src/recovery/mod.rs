//! What the service does by itself when the host is in need, and how it goes back. No IO, no clock.
pub mod action;
pub mod plan;
