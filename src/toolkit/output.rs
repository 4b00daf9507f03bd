//! The one result envelope of every tool: a status, the data, and the evidence for it.
//!
//! A value without evidence is a bug: the engine turns an `ok` that brings none into `failed` (`Output::checked`).
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::Digest;

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OutputStatus")]
pub enum Status {
    /// All that was asked for was found out or done.
    Ok,
    /// Useful, but a part could not be assessed; `reason` names it.
    Degraded,
    /// The host lacks the facility; nothing was assessed.
    Unavailable,
    /// A rule or a missing right forbade it.
    Denied,
    Failed,
    TimedOut,
    /// Stopped on request.
    Aborted,
}

/// Where a value comes from: a file read or a program run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The path read, or the program and its arguments, or `self:` and the part of this service that answered.
    pub source: String,
    /// SHA-256 of the raw bytes.
    pub sha256: Digest,
    pub bytes: u64,
    /// Of a program; null for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    pub started: DateTime<Utc>,
    pub duration_ms: f64,
    /// The source held more than the cap allowed to read.
    #[serde(default)]
    pub truncated: bool,
}

/// Why a call is not plainly `ok`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// A short word for programs: `not_built`, `no_facility`, `no_privilege`, `invalid_input`, `timeout`, `io` ...
    pub code: String,
    /// What is missing or failed: a path, a program, a service.
    pub facility: String,
    /// A sentence for people: what happened and what would help.
    pub detail: String,
}

impl Reason {
    pub fn new(code: &str, facility: impl Into<String>, detail: impl Into<String>) -> Self {
        Reason { code: code.to_owned(), facility: facility.into(), detail: detail.into() }
    }
}

/// What a tool call gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    pub status: Status,
    pub data: Value,
    pub evidence: Vec<Evidence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

impl Output {
    pub fn ok(data: Value, evidence: Vec<Evidence>) -> Self {
        Output { status: Status::Ok, data, evidence, reason: None }
    }

    pub fn degraded(data: Value, evidence: Vec<Evidence>, reason: Reason) -> Self {
        Output { status: Status::Degraded, data, evidence, reason: Some(reason) }
    }

    /// A result that carries no data: `unavailable`, `denied`, `failed`, `timed_out` or `aborted`.
    pub fn without_data(status: Status, reason: Reason) -> Self {
        Output { status, data: Value::Null, evidence: Vec::new(), reason: Some(reason) }
    }

    /// The engine's postcondition: success needs evidence. An `ok` or `degraded` without any becomes `failed`.
    #[must_use]
    pub fn checked(self, needs_evidence: bool) -> Self {
        let claims_success = matches!(self.status, Status::Ok | Status::Degraded);
        if claims_success && needs_evidence && self.evidence.is_empty() {
            let detail = "the tool claimed success without evidence for its data";
            return Output::without_data(Status::Failed, Reason::new("no_evidence", "tool", detail));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_without_evidence_is_failure() {
        let bare = Output::ok(Value::Bool(true), Vec::new());
        assert_eq!(bare.clone().checked(true).status, Status::Failed);
        assert_eq!(bare.checked(false).status, Status::Ok, "a pure function reads nothing from the host");
    }

    #[test]
    fn refusals_need_no_evidence() {
        let missing = Output::without_data(Status::Unavailable, Reason::new("no_facility", "/proc/pressure", "no PSI"));
        assert_eq!(missing.clone().checked(true), missing);
    }
}
