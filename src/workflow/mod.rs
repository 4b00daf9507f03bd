//! Workflows: a document is checked into a `plan`, and a `run` of it is a state machine over journalled events.
//!
//! ```text
//! document --check--> Plan --Run::accept--> Run
//!                                            |  advance(Trigger, now) -> Advance { events, effects }
//!                                            v
//!     journal <-- events (one append) ... and only then: effects --> agents, timers
//! ```
//! Nothing here reads a clock, waits or does IO: times come in, effects go out.
pub mod advance;
pub mod backoff;
pub mod check;
mod check_names;
mod check_step;
pub mod document;
mod drive;
pub mod event;
pub mod expr;
pub mod fault;
pub mod graph;
pub mod journal;
pub mod plan;
pub mod reads;
pub mod record;
pub mod replay;
pub mod result;
pub mod run;
pub mod run_filter;
pub mod schema;
pub mod step;
pub mod submission;
pub mod summary;
pub mod template;
pub mod time_form;
pub mod world;
pub mod yaml;

#[cfg(test)]
mod tests;
