//! The HTTP edge: `routes` lists every address, one file per resource answers, `error` turns refusals into problems.
//!
//! A handler reaches the rest of the service through the few ports that its file names, so that a part that is down
//! is refused at once by its own door.
pub mod agents;
pub mod alerts;
#[cfg(test)]
pub(crate) mod asked;
pub mod audit;
pub mod auth;
pub mod body;
pub mod compute;
pub mod error;
#[cfg(test)]
pub(crate) mod fakes;
pub mod health;
pub mod hosts;
pub mod idempotency;
pub mod learner;
pub mod openapi;
pub mod pages;
pub mod playbooks;
pub mod prometheus;
pub mod route;
pub mod routes;
pub mod run_list;
pub mod run_shape;
pub mod schedules;
pub mod server;
pub mod sessions;
pub mod steering;
pub mod stream;
pub mod supervision;
pub mod tokens;
pub mod tools;
pub mod waiting;
pub mod workflows;
