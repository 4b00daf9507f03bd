//! Schedules: when a workflow is to be run again and again, and what is done about a time that was missed.
//!
//! ```text
//! document --read--> NewSchedule     (all faults at once)
//! next_due <= now --backlog--> firings, each durable before anything is done about it
//! firing --decide--> start it, skip it, wait for the last run, or cancel that one first
//! ```
//! Nothing here reads a clock or does IO: times come in, decisions go out.
pub mod backlog;
pub mod overlap;
pub mod read;
pub mod record;
pub mod rules;
