//! A finding: something about the host that a person should know, with the evidence for it.
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{AgentId, Digest};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable over runs: the first 16 hex digits of SHA-256(rule, NUL, object).
    pub id: String,
    /// `domain.what`, e.g. `cpu.vulnerable`.
    pub rule: String,
    pub severity: Severity,
    /// 0 to 1.
    pub confidence: f64,
    pub agent: AgentId,
    /// What it is about: a path, a unit, a package.
    pub object: String,
    /// One sentence.
    pub summary: String,
    pub observed: Value,
    pub expected: Value,
    /// SHA-256 of the evidence it rests on.
    pub evidence: Vec<Digest>,
    /// Control ids (CIS, STIG, NIST) it touches.
    #[serde(default)]
    pub controls: Vec<String>,
    /// What would mend it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}
