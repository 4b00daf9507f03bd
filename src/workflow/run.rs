//! The state machine of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {}
