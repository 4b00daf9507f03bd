//! What one attempt of a step gave: the tool's output, and what the agent concludes from it.
use serde::{Deserialize, Serialize};

use crate::judges::finding::Finding;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    pub output: Output,
    #[serde(default)]
    pub findings: Vec<Finding>,
    pub duration_ms: f64,
}

impl StepResult {
    /// A result that the engine makes when the agent gave none.
    pub fn without_data(status: Status, reason: Reason, duration_ms: f64) -> Self {
        StepResult { output: Output::without_data(status, reason), findings: Vec::new(), duration_ms }
    }
}
