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
mod answer;
mod apply;
pub mod backoff;
pub mod body;
mod change;
pub mod check;
mod check_names;
mod check_playbook;
mod check_step;
mod check_wait;
pub mod child;
pub mod document;
mod drive;
pub mod event;
pub mod expr;
pub mod fault;
pub mod fork;
pub mod graph;
pub mod hold;
pub mod journal;
pub mod plan;
pub mod reads;
pub mod record;
pub mod replay;
pub mod result;
pub mod retention;
pub mod run;
pub mod run_filter;
pub mod schema;
pub mod spread;
pub mod status;
pub mod step;
pub mod step_run;
pub mod submission;
pub mod summary;
pub mod template;
pub mod time_form;
mod undo;
pub mod world;
pub mod yaml;

#[cfg(test)]
mod tests;
