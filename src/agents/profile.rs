//! What an agent is: the front matter and body of its file, checked.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, ToolId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    Core,
    Specialised,
    Hardware,
}

/// What an agent may do on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Reads only.
    Ro,
    /// Proposes changes; a person or a playbook approves them.
    Prop,
    /// Acts by itself within its limits.
    Auto,
    /// Acts on the control plane alone.
    Cp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    Background,
    Normal,
    Critical,
}

/// A checked agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentProfile {
    pub id: AgentId,
    pub group: Group,
    pub domain: String,
    /// When to use it, in one or two sentences.
    pub description: String,
    /// Granted tools; the first is the default.
    pub tools: Vec<ToolId>,
    pub policy: Policy,
    pub criticality: Criticality,
    /// Default time for a step.
    pub timeout: Duration,
    /// How many steps it works on at a time.
    pub concurrency: usize,
    /// The body of its file.
    pub instructions: String,
}
