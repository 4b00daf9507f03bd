//! A tool that agents may be given.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{AgentId, ToolId};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    pub id: ToolId,
    /// `read_only`, `mutating`, `external` or `load`.
    pub kind: String,
    pub what: String,
    pub privileges: String,
    pub timeout_ms: u64,
    pub learn: bool,
    pub repeatable: bool,
    /// False: named by the catalogue, without code in this release; a call answers `unavailable`.
    pub built: bool,
    /// Who may use it.
    pub agents: Vec<AgentId>,
    /// JSON Schemas of the input object and of `data` in the result.
    pub inputs: Value,
    pub outputs: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tools {
    pub tools: Vec<Tool>,
    pub next: Option<String>,
}
