//! An agent: its profile and how it is doing.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agents::profile::{Criticality, Group, Policy};
use crate::api::supervision::Breaker;
use crate::api::supervision::FaultKind;
use crate::ids::{AgentId, ToolId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    Up,
    Restarting,
    /// The breaker is open: requests are refused at once.
    Open,
    HalfOpen,
    Down,
}

impl AgentState {
    pub fn as_str(self) -> &'static str {
        match self {
            AgentState::Up => "up",
            AgentState::Restarting => "restarting",
            AgentState::Open => "open",
            AgentState::HalfOpen => "half_open",
            AgentState::Down => "down",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    pub agent_id: AgentId,
    pub group: Group,
    pub domain: String,
    pub description: String,
    /// The first is the default.
    pub tools: Vec<ToolId>,
    pub policy: Policy,
    pub criticality: Criticality,
    pub timeout_ms: u64,
    pub concurrency: usize,
    pub state: AgentState,
    pub breaker: Breaker,
    pub queue: usize,
    pub restarts: u64,
    /// Null until it has finished a step, and while it does not answer.
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub success_rate: Option<f64>,
    pub done: Option<u64>,
    pub failed: Option<u64>,
    pub last_exit: Option<String>,
    /// When its breaker opens and closes; only when one agent is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_rules: Option<BreakerRules>,
    /// The body of its file; only when one agent is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// Of its profile, with the usual value where that says nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BreakerRules {
    /// It opens after so many failures in a row.
    pub in_a_row: u32,
    /// So many of the last calls are looked at.
    pub window: usize,
    /// With fewer calls than this the shares say nothing.
    pub min_calls: usize,
    /// It opens at this share of failed calls.
    pub failed_share: f64,
    /// It opens at this share of slow calls.
    pub slow_share: f64,
    /// A call that takes as long as this is slow.
    pub slow_ms: u64,
    pub open_for_ms: u64,
    /// A probe without a result is lost after this time.
    pub probe_timeout_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agents {
    pub agents: Vec<Agent>,
    pub next: Option<String>,
}

/// The agent was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drilled {
    pub agent_id: AgentId,
    pub fault: FaultKind,
}
