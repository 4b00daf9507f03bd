//! How a run and its steps stand, in the words of the API.
use serde::{Deserialize, Serialize};

use crate::toolkit::output::Status;

/// Why a step was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipCause {
    /// Its condition was false: steps that need it go on.
    When,
    /// A step that it needs did not succeed.
    Needs,
    /// The run was cancelled or ran out of time.
    RunEnded,
}

/// What a step waits for that is not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    Time,
    Signal,
    Approval,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    Paused,
    /// Nothing is at work: it goes on with a signal, or with a decision.
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    RolledBack,
    /// What it changed could not be undone.
    NeedsHuman,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// It succeeded, and what it changed was undone.
    Undone,
}

impl RunStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Paused => "paused",
            RunStatus::Waiting => "waiting",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::TimedOut => "timed_out",
            RunStatus::RolledBack => "rolled_back",
            RunStatus::NeedsHuman => "needs_human",
        }
    }

    pub fn is_final(self) -> bool {
        !matches!(self, RunStatus::Running | RunStatus::Paused | RunStatus::Waiting)
    }
}

impl StepStatus {
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

    pub fn is_final(self) -> bool {
        !matches!(self, StepStatus::Pending | StepStatus::Running | StepStatus::WaitingApproval)
    }

    /// Did the step do what it was for, wholly or in part?
    pub fn is_success(self) -> bool {
        matches!(self, StepStatus::Succeeded | StepStatus::Degraded)
    }

    /// Does it make the run a failed one?
    pub fn is_failure(self) -> bool {
        matches!(self, StepStatus::Failed | StepStatus::Denied | StepStatus::TimedOut)
    }
}

impl From<Status> for StepStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => StepStatus::Succeeded,
            Status::Degraded => StepStatus::Degraded,
            Status::Unavailable => StepStatus::Unavailable,
            Status::Denied => StepStatus::Denied,
            Status::Failed => StepStatus::Failed,
            Status::TimedOut => StepStatus::TimedOut,
            Status::Aborted => StepStatus::Cancelled,
        }
    }
}

/// The word for a tool's status, as in its JSON.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Degraded => "degraded",
        Status::Unavailable => "unavailable",
        Status::Denied => "denied",
        Status::Failed => "failed",
        Status::TimedOut => "timed_out",
        Status::Aborted => "aborted",
    }
}
