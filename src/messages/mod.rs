//! All that actors say to each other: `port` is the way to ask, the other files are one protocol each.
//!
//! Requests go down (web, orchestrator, agent); news goes up as events, so that no two actors wait for each other.
pub mod access;
pub mod agent;
pub mod alerts;
pub mod auditor;
pub mod compute;
pub mod events;
pub mod guests;
pub mod hub;
pub mod learner;
pub mod orchestrator;
pub mod outcome;
pub mod port;
pub mod schedule_store;
pub mod scheduler;
pub mod signer;
pub mod store;
pub mod supervision;
pub mod tpm;
