//! The checked graph of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {}
