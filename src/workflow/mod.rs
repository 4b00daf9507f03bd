//! Workflows: the checked graph (`plan`), the state machine of one run (`run`), what is kept of a run (`record`).
pub mod plan;
pub mod record;
pub mod run;
