//! A run of a workflow, its steps and their attempts.
use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::role::Role;
use crate::ids::{AgentId, Digest, NodeId, RunId, SignalName, StepId, ToolId};
use crate::judges::finding::Finding;
use crate::toolkit::output::Output;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Pending,
    Running,
    Paused,
    Waiting,
    Succeeded,
    Failed,
    RolledBack,
    Cancelled,
    TimedOut,
    NeedsHuman,
}

impl RunStatus {
    /// No step will run any more.
    pub fn has_ended(self) -> bool {
        use RunStatus::*;
        matches!(self, Succeeded | Failed | RolledBack | Cancelled | TimedOut | NeedsHuman)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Pending => "pending",
            RunStatus::Running => "running",
            RunStatus::Paused => "paused",
            RunStatus::Waiting => "waiting",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::RolledBack => "rolled_back",
            RunStatus::Cancelled => "cancelled",
            RunStatus::TimedOut => "timed_out",
            RunStatus::NeedsHuman => "needs_human",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Pending,
    Running,
    WaitingApproval,
    Succeeded,
    Degraded,
    Unavailable,
    Failed,
    Denied,
    Skipped,
    Cancelled,
    TimedOut,
    Undone,
}

impl StepStatus {
    pub fn has_ended(self) -> bool {
        !matches!(self, StepStatus::Pending | StepStatus::Running | StepStatus::WaitingApproval)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            StepStatus::Pending => "pending",
            StepStatus::Running => "running",
            StepStatus::WaitingApproval => "waiting_approval",
            StepStatus::Succeeded => "succeeded",
            StepStatus::Degraded => "degraded",
            StepStatus::Unavailable => "unavailable",
            StepStatus::Failed => "failed",
            StepStatus::Denied => "denied",
            StepStatus::Skipped => "skipped",
            StepStatus::Cancelled => "cancelled",
            StepStatus::TimedOut => "timed_out",
            StepStatus::Undone => "undone",
        }
    }
}

impl fmt::Display for StepStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One run with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    pub workflow_id: RunId,
    pub name: String,
    pub mode: String,
    pub status: RunStatus,
    /// Null while no step counts.
    pub success_rate: Option<f64>,
    /// Null until the run has ended.
    pub execution_time_ms: Option<u64>,
    pub coverage: Option<f64>,
    /// The data of each step that gave any, by step id.
    pub results: BTreeMap<StepId, Value>,
    pub steps: Vec<Step>,
    /// Of the newest audit entry of the run.
    pub audit_index: Option<u64>,
    pub node: NodeId,
    pub accepted: DateTime<Utc>,
    pub finished: Option<DateTime<Utc>>,
    #[serde(default)]
    pub labels: Value,
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Who asked for it: `token:<id>`.
    #[serde(default)]
    pub by: String,
    /// While it is paused: by whom; `recovery` is the service itself, while the host is in need.
    #[serde(default)]
    pub paused_by: Option<String>,
    /// Of the child of another run: which step of which run it is.
    #[serde(default)]
    pub parent: Option<Parent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parent {
    pub workflow_id: RunId,
    pub step: StepId,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub id: StepId,
    pub agent: Option<AgentId>,
    pub tool: Option<ToolId>,
    /// That it runs; each attempt is a run of its own.
    #[serde(default)]
    pub playbook: Option<String>,
    pub status: StepStatus,
    pub attempts: Vec<Attempt>,
    pub output: Option<Output>,
    pub chosen_by: Option<ChosenBy>,
    pub audit_index: Option<u64>,
    /// Why a step was skipped or not done.
    #[serde(default)]
    pub reason: Option<String>,
    /// What it waits for at present.
    #[serde(default)]
    pub waits_for: Option<WaitsFor>,
    /// The decision that was asked for.
    #[serde(default)]
    pub approval: Option<Approval>,
    /// What it changes on the host, in one line, once that is planned.
    #[serde(default)]
    pub change: Option<String>,
    /// Tries to undo what it changed.
    #[serde(default)]
    pub undo: Vec<Attempt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitsFor {
    pub what: Awaited,
    /// Of a signal.
    pub name: Option<SignalName>,
    pub until: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    Time,
    Signal,
    Approval,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Who may decide: this role, or a higher one.
    pub role: Role,
    /// Why it is asked for.
    pub reason: Option<String>,
    pub expires: DateTime<Utc>,
    /// Exactly what will be done: the plan of a change, or the input of a call; null: a gate.
    pub parameters: Value,
    /// SHA-256 of `parameters` as canonical JSON (RFC 8785).
    pub digest: Option<Digest>,
    pub decision: Option<Decision>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    pub approved: bool,
    pub by: String,
    pub at: DateTime<Utc>,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Counts from 1.
    pub n: u32,
    pub status: String,
    pub started: DateTime<Utc>,
    pub duration_ms: Option<f64>,
    pub error: Option<String>,
    /// The run that it is, of a step that runs a playbook.
    #[serde(default)]
    pub workflow_id: Option<RunId>,
}

/// How the agent was chosen, where the document did not name one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChosenBy {
    pub confidence: f64,
    pub reasons: Vec<String>,
}

/// A line of the list of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunSummary {
    pub workflow_id: RunId,
    pub name: String,
    pub mode: String,
    pub status: RunStatus,
    pub success_rate: Option<f64>,
    pub execution_time_ms: Option<u64>,
    pub coverage: Option<f64>,
    pub audit_index: Option<u64>,
    pub node: NodeId,
    pub accepted: DateTime<Utc>,
    pub finished: Option<DateTime<Utc>>,
    pub labels: Value,
}

/// A page of runs, newest first; `next` is the cursor of the page after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Runs {
    pub workflows: Vec<RunSummary>,
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_written_as_the_contract_names_them() {
        let runs = "pending running paused waiting succeeded failed rolled_back cancelled timed_out needs_human";
        for name in runs.split(' ') {
            let status: RunStatus = serde_json::from_value(Value::from(name)).expect(name);
            assert_eq!(status.as_str(), name);
        }
        let steps = "pending running waiting_approval succeeded degraded unavailable failed denied skipped cancelled \
                     timed_out undone";
        for name in steps.split(' ') {
            let status: StepStatus = serde_json::from_value(Value::from(name)).expect(name);
            assert_eq!(status.as_str(), name);
        }
    }
}
