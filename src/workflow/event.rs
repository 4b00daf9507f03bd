//! What happens to a run, in words of the past tense: the journal is a list of these, and nothing else moves a run.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::StepId;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::plan::Plan;
use crate::workflow::result::StepResult;
use crate::workflow::step::Choice;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunEvent {
    Accepted {
        plan: Plan,
        by: String,
    },
    /// The learner chose who does a step that names no agent.
    StepChosen {
        step: StepId,
        choice: Arc<Choice>,
    },
    /// An attempt is about to be handed to the agent.
    StepStarted {
        step: StepId,
        attempt: u32,
        input: Arc<Value>,
    },
    /// An attempt ended. `retry_at` set: another one follows then; else this is the step's result.
    AttemptDone {
        step: StepId,
        attempt: u32,
        result: Arc<StepResult>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<DateTime<Utc>>,
    },
    /// Nobody knows how the attempt ended. `again`: the tool may be called once more, and will be; else the step failed.
    AttemptLost {
        step: StepId,
        attempt: u32,
        detail: String,
        again: bool,
    },
    /// The agent did not take the attempt, which therefore was not made; it is offered again at `not_before`.
    StepDeferred {
        step: StepId,
        attempt: u32,
        not_before: DateTime<Utc>,
        detail: String,
    },
    StepSkipped {
        step: StepId,
        cause: SkipCause,
        detail: String,
    },
    /// The engine settled a step without an attempt's result.
    StepEnded {
        step: StepId,
        status: StepStatus,
        reason: Reason,
    },
    Cancelled {
        by: String,
    },
    /// Nothing more is begun until it is resumed; what runs goes on.
    Paused {
        by: String,
    },
    Resumed {
        by: String,
    },
    /// The run's own time is up.
    TimedOut,
    Finished {
        status: RunStatus,
        success_rate: Option<f64>,
        coverage: Option<f64>,
        execution_time_ms: u64,
    },
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    Paused,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Pending,
    Running,
    Succeeded,
    Degraded,
    Unavailable,
    Failed,
    Denied,
    Skipped,
    Cancelled,
    TimedOut,
}

impl RunEvent {
    /// The word that the journal files it under.
    pub fn kind(&self) -> &'static str {
        match self {
            RunEvent::Accepted { .. } => "accepted",
            RunEvent::StepChosen { .. } => "step_chosen",
            RunEvent::StepStarted { .. } => "step_started",
            RunEvent::AttemptDone { .. } => "attempt_done",
            RunEvent::AttemptLost { .. } => "attempt_lost",
            RunEvent::StepDeferred { .. } => "step_deferred",
            RunEvent::StepSkipped { .. } => "step_skipped",
            RunEvent::StepEnded { .. } => "step_ended",
            RunEvent::Cancelled { .. } => "cancelled",
            RunEvent::Paused { .. } => "paused",
            RunEvent::Resumed { .. } => "resumed",
            RunEvent::TimedOut => "timed_out",
            RunEvent::Finished { .. } => "finished",
        }
    }

    pub fn step(&self) -> Option<&StepId> {
        match self {
            RunEvent::StepChosen { step, .. }
            | RunEvent::StepStarted { step, .. }
            | RunEvent::AttemptDone { step, .. }
            | RunEvent::AttemptLost { step, .. }
            | RunEvent::StepDeferred { step, .. }
            | RunEvent::StepSkipped { step, .. }
            | RunEvent::StepEnded { step, .. } => Some(step),
            RunEvent::Accepted { .. }
            | RunEvent::Cancelled { .. }
            | RunEvent::Paused { .. }
            | RunEvent::Resumed { .. }
            | RunEvent::TimedOut
            | RunEvent::Finished { .. } => None,
        }
    }
}

impl RunStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Paused => "paused",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::TimedOut => "timed_out",
        }
    }

    pub fn is_final(self) -> bool {
        !matches!(self, RunStatus::Running | RunStatus::Paused)
    }
}

impl StepStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            StepStatus::Pending => "pending",
            StepStatus::Running => "running",
            StepStatus::Succeeded => "succeeded",
            StepStatus::Degraded => "degraded",
            StepStatus::Unavailable => "unavailable",
            StepStatus::Failed => "failed",
            StepStatus::Denied => "denied",
            StepStatus::Skipped => "skipped",
            StepStatus::Cancelled => "cancelled",
            StepStatus::TimedOut => "timed_out",
        }
    }

    pub fn is_final(self) -> bool {
        !matches!(self, StepStatus::Pending | StepStatus::Running)
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
