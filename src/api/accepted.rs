//! What a submission is answered with.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::run::RunStatus;
use crate::ids::RunId;

/// The run is durable; where to look is in `Location`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    pub workflow_id: RunId,
    pub status: RunStatus,
}

/// Of a cancellation: whether the run could still be ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    pub workflow_id: RunId,
    /// False: the run had ended already.
    pub cancelling: bool,
}

/// Of a restart of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restarting {
    pub agent_id: crate::ids::AgentId,
    pub status: String,
}

/// The answer to a dry run: the workflow as it was understood. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    pub valid: bool,
    pub name: String,
    pub mode: String,
    pub steps: Vec<CheckedStep>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedStep {
    pub id: String,
    pub agent: Option<String>,
    pub tool: Option<String>,
    /// That it runs, with its steps.
    #[serde(default)]
    pub playbook: Option<String>,
    #[serde(default)]
    pub steps: Vec<CheckedStep>,
    pub needs: Vec<String>,
    pub timeout_ms: Option<u64>,
}
