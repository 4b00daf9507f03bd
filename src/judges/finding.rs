//! A finding: something about the host that a person should know, with the evidence for it.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ids::{AgentId, Digest};
use crate::toolkit::output::Output;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FindingSeverity")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// What a judge says; the rest of a finding follows from the look it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub rule: &'static str,
    pub severity: Severity,
    pub confidence: f64,
    pub object: String,
    pub summary: String,
    pub observed: Value,
    pub expected: Value,
    pub controls: &'static [&'static str],
    pub remedy: Option<&'static str>,
}

/// The same rule about the same object has the same id in every run.
pub fn stable_id(rule: &str, object: &str) -> String {
    let digest = Sha256::new().chain_update(rule).chain_update([0]).chain_update(object).finalize();
    hex::encode(&digest[..8])
}

impl Claim {
    pub fn by(self, agent: &AgentId, output: &Output) -> Finding {
        Finding {
            id: stable_id(self.rule, &self.object),
            rule: self.rule.to_owned(),
            severity: self.severity,
            confidence: self.confidence,
            agent: agent.clone(),
            object: self.object,
            summary: self.summary,
            observed: self.observed,
            expected: self.expected,
            evidence: output.evidence.iter().map(|evidence| evidence.sha256).collect(),
            controls: self.controls.iter().map(|id| (*id).to_owned()).collect(),
            remedy: self.remedy.map(str::to_owned),
        }
    }
}
