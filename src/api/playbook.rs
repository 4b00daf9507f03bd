//! A playbook: a workflow that the service keeps by name.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Playbook {
    pub name: String,
    pub description: Option<String>,
    pub mode: String,
    /// Its inputs with their defaults.
    pub inputs: Value,
    pub steps: usize,
    /// The document as it is kept; only when one playbook is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Playbooks {
    pub playbooks: Vec<Playbook>,
    pub next: Option<String>,
}
