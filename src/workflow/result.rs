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
    /// What the tool used of the host; none: it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What the thread of a tool used while the tool was at work. Programs that it started are not in it, nor is memory,
/// which the kernel does not tell by thread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_ms: f64,
    /// Pages that had to be read from disk.
    pub major_faults: u64,
    /// Blocks of 512 bytes that were read from disk, and written.
    pub blocks_in: u64,
    pub blocks_out: u64,
}

impl StepResult {
    /// A result that the engine makes when the agent gave none.
    pub fn without_data(status: Status, reason: Reason, duration_ms: f64) -> Self {
        StepResult { output: Output::without_data(status, reason), findings: Vec::new(), duration_ms, usage: None }
    }
}
