//! What a tool that changes the host can be asked for, each in a call of its own.
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a call is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Run,
    Plan,
    Apply(Arc<Value>),
    Undo(Arc<Value>),
    Settle(Arc<Value>),
}

/// What would be done, and what would undo it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub plan: Value,
    /// One line for who approves it.
    pub summary: String,
}

/// Whether a plan was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Settled {
    Applied { data: Value },
    NotApplied,
    Neither { detail: String },
}
