//! The JSON shapes of the HTTP API, in both directions: the service writes them, the clients read them.
//!
//! Nothing else lives here: no rule, no conversion from actors. Clients ignore fields they do not know.
pub mod accepted;
pub mod access;
pub mod agent;
pub mod alert;
pub mod audit;
pub mod compute;
pub mod health;
pub mod learner;
pub mod playbook;
pub mod problem;
pub mod run;
pub mod schedule;
pub mod supervision;
pub mod tool;
