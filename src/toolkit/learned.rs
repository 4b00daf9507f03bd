//! What a tool may ask of what was learned.
use crate::ids::{AgentId, ToolId};
use crate::toolkit::cx::NotAvailable;

/// Which figure of past runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Metric {
    #[default]
    #[serde(rename = "execution_time_ms")]
    ExecutionTime,
    /// Of the tool's thread.
    #[serde(rename = "cpu_ms")]
    CpuTime,
}

/// One past run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub value: f64,
    /// None: it says nothing about success.
    pub success: Option<bool>,
}

/// The service's memory of how its agents and tools did.
pub trait Learning: Send + Sync {
    /// The newest runs of an agent, of a tool, or of both, from the newest to the oldest.
    fn samples(
        &self,
        agent: Option<&AgentId>,
        tool: Option<&ToolId>,
        metric: Metric,
    ) -> Result<Vec<Sample>, NotAvailable>;
}
