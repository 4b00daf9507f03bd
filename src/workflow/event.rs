//! What happens to a run, in words of the past tense: the journal is a list of these, and nothing else moves a run.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::ids::Digest;
use crate::ids::RunId;
use crate::ids::SignalName;
use crate::ids::StepId;
use crate::toolkit::change::Planned;
use crate::toolkit::output::Reason;
use crate::workflow::child::Parent;
use crate::workflow::plan::Plan;
use crate::workflow::result::StepResult;
use crate::workflow::status::Hold;
use crate::workflow::status::RunStatus;
use crate::workflow::status::SkipCause;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Choice;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunEvent {
    Accepted {
        plan: Plan,
        by: String,
        /// It is the child of another run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
    },
    /// The learner chose who does a step that names no agent.
    StepChosen {
        step: StepId,
        choice: Arc<Choice>,
    },
    /// An attempt is about to be handed to the agent, or to be begun as a run of its own.
    StepStarted {
        step: StepId,
        attempt: u32,
        input: Arc<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        child: Option<RunId>,
    },
    /// The run that an attempt is has ended; how the attempt did follows.
    ChildEnded {
        step: StepId,
        attempt: u32,
        child: RunId,
        status: RunStatus,
        /// It changed something that is not undone.
        has_changes: bool,
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
    /// The step waits for something that is not work.
    StepHeld {
        step: StepId,
        on: Hold,
        /// When it ends waiting.
        until: DateTime<Utc>,
        /// Exactly what is to be done once it is approved; none for a change, which has its plan, and for a gate.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        input: Option<Arc<Value>>,
        /// Of what is to be approved, as canonical JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
    },
    /// A step is done once for each of these.
    StepSpread {
        step: StepId,
        items: Arc<Vec<Value>>,
    },
    /// Somebody decided about a step that waits for that.
    Decided {
        step: StepId,
        approved: bool,
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// What a step waited for has come.
    StepGiven {
        step: StepId,
        result: Arc<StepResult>,
    },
    /// The agent said what the step would change and how that is undone; nothing is changed yet.
    ChangePlanned {
        step: StepId,
        attempt: u32,
        planned: Arc<Planned>,
    },
    /// The plan is about to be carried out.
    ChangeBegun {
        step: StepId,
        attempt: u32,
    },
    /// Nobody knows whether the plan was carried out: the agent is about to be asked to look at the host.
    OutcomeSought {
        step: StepId,
        attempt: u32,
    },
    /// The agent could not look yet.
    OutcomeDeferred {
        step: StepId,
        attempt: u32,
        not_before: DateTime<Utc>,
        detail: String,
    },
    /// Somebody sent a signal; a step that waits for it, or will, is given it.
    Signalled {
        name: SignalName,
        payload: Arc<Value>,
        by: String,
    },
    /// A step failed, and therefore what the run changed is to be undone.
    Failing {
        by: StepId,
    },
    /// What the run changed is undone from here on, the last first.
    RollbackBegun {
        /// Who asked for it; none: the document did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The undoing of a step's change is about to be handed to the agent.
    UndoBegun {
        step: StepId,
        attempt: u32,
    },
    /// `retry_at` set: it is tried again then.
    UndoDone {
        step: StepId,
        attempt: u32,
        result: Arc<StepResult>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<DateTime<Utc>>,
    },
    /// Steps that did not succeed, and those that waited for them, are done again.
    Retried {
        by: String,
        steps: Vec<StepId>,
    },
    /// A step of this fork ended in the run that it was made from.
    StepCarried {
        step: StepId,
        status: StepStatus,
        result: Arc<StepResult>,
    },
    Cancelled {
        by: String,
        /// What was changed is to be undone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        undo: bool,
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

/// A null that is there is a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Value>>, D::Error> {
    Arc::<Value>::deserialize(deserializer).map(Some)
}

impl RunEvent {
    /// The word that the journal files it under.
    pub fn kind(&self) -> &'static str {
        match self {
            RunEvent::Accepted { .. } => "accepted",
            RunEvent::StepChosen { .. } => "step_chosen",
            RunEvent::StepStarted { .. } => "step_started",
            RunEvent::ChildEnded { .. } => "child_ended",
            RunEvent::AttemptDone { .. } => "attempt_done",
            RunEvent::AttemptLost { .. } => "attempt_lost",
            RunEvent::StepDeferred { .. } => "step_deferred",
            RunEvent::StepSkipped { .. } => "step_skipped",
            RunEvent::StepEnded { .. } => "step_ended",
            RunEvent::StepHeld { .. } => "step_held",
            RunEvent::StepSpread { .. } => "step_spread",
            RunEvent::Decided { .. } => "decided",
            RunEvent::StepGiven { .. } => "step_given",
            RunEvent::ChangePlanned { .. } => "change_planned",
            RunEvent::ChangeBegun { .. } => "change_begun",
            RunEvent::OutcomeSought { .. } => "outcome_sought",
            RunEvent::OutcomeDeferred { .. } => "outcome_deferred",
            RunEvent::Signalled { .. } => "signalled",
            RunEvent::Failing { .. } => "failing",
            RunEvent::RollbackBegun { .. } => "rollback_begun",
            RunEvent::UndoBegun { .. } => "undo_begun",
            RunEvent::UndoDone { .. } => "undo_done",
            RunEvent::Retried { .. } => "retried",
            RunEvent::StepCarried { .. } => "step_carried",
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
            | RunEvent::ChildEnded { step, .. }
            | RunEvent::AttemptDone { step, .. }
            | RunEvent::AttemptLost { step, .. }
            | RunEvent::StepDeferred { step, .. }
            | RunEvent::StepSkipped { step, .. }
            | RunEvent::StepEnded { step, .. }
            | RunEvent::StepHeld { step, .. }
            | RunEvent::StepSpread { step, .. }
            | RunEvent::Decided { step, .. }
            | RunEvent::StepGiven { step, .. }
            | RunEvent::ChangePlanned { step, .. }
            | RunEvent::ChangeBegun { step, .. }
            | RunEvent::OutcomeSought { step, .. }
            | RunEvent::OutcomeDeferred { step, .. }
            | RunEvent::UndoBegun { step, .. }
            | RunEvent::UndoDone { step, .. }
            | RunEvent::StepCarried { step, .. } => Some(step),
            RunEvent::Accepted { .. }
            | RunEvent::Signalled { .. }
            | RunEvent::Failing { .. }
            | RunEvent::RollbackBegun { .. }
            | RunEvent::Retried { .. }
            | RunEvent::Cancelled { .. }
            | RunEvent::Paused { .. }
            | RunEvent::Resumed { .. }
            | RunEvent::TimedOut
            | RunEvent::Finished { .. } => None,
        }
    }
}
