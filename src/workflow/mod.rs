//! Workflows: the checked graph (`plan`) and the state machine of one run (`run`).
pub mod plan;
pub mod run;
