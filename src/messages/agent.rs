//! What can be asked of an agent.
use std::sync::Arc;
use std::time::Instant;

use actix::Message;
use serde_json::Value;

use crate::ids::{RunId, StepId, ToolId};
use crate::toolkit::change::Call;
use crate::toolkit::cx::CancelFlag;
use crate::workflow::result::StepResult;

/// Carries out one attempt of a step. The agent answers exactly once, whatever happens to the tool.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<StepResult, StepNotDone>")]
pub struct RunStep {
    pub run: RunId,
    pub step: StepId,
    pub attempt: u32,
    pub tool: ToolId,
    pub call: Call,
    pub input: Arc<Value>,
    pub deadline: Instant,
    pub cancel: CancelFlag,
}

/// The agent itself failed, not the host: counts against its breaker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepNotDone {
    #[error("tool `{tool}` panicked: {message}")]
    ToolPanicked { tool: ToolId, message: String },
    #[error("drill: the agent was told to fail")]
    Drill,
}

/// How the agent has done since it was started.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "AgentStats")]
pub struct GetStats;

/// Times and success are those of the last attempts it remembers; none: it has finished nothing yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentStats {
    pub done: u64,
    pub failed: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub success_rate: Option<f64>,
    /// Attempts that are running or wait for a place.
    pub queue: usize,
}
