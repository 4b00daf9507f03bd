//! The state of one step of a run, and of its attempts.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::Digest;
use crate::ids::RunId;
use crate::judges::finding::Finding;
use crate::toolkit::change::Planned;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::workflow::result::StepResult;
use crate::workflow::status::Hold;
use crate::workflow::status::SkipCause;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Choice;

/// The state of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRun {
    pub(super) phase: Phase,
    pub(super) attempts: Vec<Attempt>,
    /// By the learner.
    pub(super) chosen: Option<Arc<Choice>>,
    /// The learner was asked.
    pub(super) choosing: bool,
    /// What was asked of a person about it.
    pub(super) asked: Option<Box<Asked>>,
    /// What it is to change on the host.
    pub(super) change: Option<Box<PlannedChange>>,
    /// Its items, and the item that it is.
    pub(super) spread: Option<Box<Spread>>,
    pub(super) item: Option<Arc<Value>>,
    /// What a step that does no work ended with.
    pub(super) given: Option<Arc<StepResult>>,
    /// Needs that have not settled.
    pub(super) unmet: usize,
    /// The step to blame, once one that this step needs did not succeed.
    pub(super) blocked_by: Option<usize>,
    /// Attempts that ended in a result: what a retry policy counts.
    pub(super) counted: u32,
    pub(super) lost: u32,
    /// Refusals in a row.
    pub(super) refusals: u32,
    pub(super) deadline: Option<DateTime<Utc>>,
    pub(super) note: Option<Note>,
    pub(super) audit_index: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Waiting {
        until: DateTime<Utc>,
    },
    Held {
        on: Hold,
        until: DateTime<Utc>,
    },
    /// Its items are done.
    Spread,
    Settled(StepStatus),
}

/// Where the items of a step stand among the steps of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    pub place: usize,
    pub count: usize,
    /// Those that have not settled.
    pub open: usize,
    /// Those before it were put in the row, or were done already.
    pub next: usize,
    /// Those that were put in the row and have not settled.
    pub begun: usize,
}

/// A decision that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub at: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// Of what is to be approved, as canonical JSON; none: a gate, which does nothing.
    pub digest: Option<Digest>,
    pub(super) input: Option<Arc<Value>>,
    pub decided: Option<Decision>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub approved: bool,
    pub by: String,
    pub at: DateTime<Utc>,
    pub comment: Option<String>,
}

/// A change that the agent has planned.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedChange {
    pub planned: Arc<Planned>,
    /// Its outcome is unknown, and being looked for.
    pub(super) sought: bool,
}

/// Why a step ended without a result of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    Skipped { cause: SkipCause, detail: String },
    Ended(Reason),
}

/// One attempt of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub n: u32,
    pub started: DateTime<Utc>,
    pub input: Arc<Value>,
    /// The run that it is, of a step that runs a playbook.
    pub child: Option<RunId>,
    pub end: AttemptEnd,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    Running,
    Done(Arc<StepResult>),
    /// Nobody knows how it ended.
    Lost {
        detail: String,
    },
}

impl StepRun {
    pub(super) fn new(unmet: usize) -> Self {
        StepRun {
            phase: Phase::Pending,
            attempts: Vec::new(),
            chosen: None,
            choosing: false,
            asked: None,
            change: None,
            spread: None,
            item: None,
            given: None,
            unmet,
            blocked_by: None,
            counted: 0,
            lost: 0,
            refusals: 0,
            deadline: None,
            note: None,
            audit_index: None,
        }
    }

    pub fn status(&self) -> StepStatus {
        match self.phase {
            Phase::Settled(status) => status,
            Phase::Running | Phase::Spread => StepStatus::Running,
            // Between two attempts the step is under way; refused before its first it has not begun.
            Phase::Waiting { .. } if !self.attempts.is_empty() => StepStatus::Running,
            Phase::Waiting { .. } | Phase::Pending => StepStatus::Pending,
            Phase::Held { on: Hold::Approval, .. } => StepStatus::WaitingApproval,
            Phase::Held { .. } => StepStatus::Running,
        }
    }

    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// How its agent was chosen, where the document names none.
    pub fn chosen(&self) -> Option<&Choice> {
        self.chosen.as_deref()
    }

    /// When a waiting step is tried again, or a held one ends waiting.
    pub fn waiting_until(&self) -> Option<DateTime<Utc>> {
        match self.phase {
            Phase::Waiting { until } | Phase::Held { until, .. } => Some(until),
            Phase::Pending | Phase::Running | Phase::Spread | Phase::Settled(_) => None,
        }
    }

    /// What it waits for that is not work.
    pub fn held_on(&self) -> Option<Hold> {
        match self.phase {
            Phase::Held { on, .. } => Some(on),
            Phase::Pending | Phase::Running | Phase::Spread | Phase::Waiting { .. } | Phase::Settled(_) => None,
        }
    }

    /// The decision that was asked for, and taken if it was.
    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_deref()
    }

    /// What is to be approved: the plan of a change, or the input of a call.
    pub fn to_approve(&self) -> Option<&Value> {
        let plan = self.change.as_ref().map(|change| &change.planned.plan);
        plan.or_else(|| self.asked.as_ref()?.input.as_deref())
    }

    /// What the step changes on the host, as far as it is planned.
    pub fn change(&self) -> Option<&Planned> {
        self.change.as_ref().map(|change| &*change.planned)
    }

    /// The result that settled the step; none if it has not settled or the engine settled it.
    pub fn result(&self) -> Option<&Arc<StepResult>> {
        match (self.phase, &self.note, &self.given, self.attempts.last().map(|attempt| &attempt.end)) {
            (Phase::Settled(_), None, Some(given), _) => Some(given),
            (Phase::Settled(_), None, None, Some(AttemptEnd::Done(result))) => Some(result),
            _ => None,
        }
    }

    pub fn output(&self) -> Option<&Output> {
        self.result().map(|result| &result.output)
    }

    pub fn findings(&self) -> &[Finding] {
        self.result().map_or(&[], |result| &result.findings)
    }

    /// Why it was left out or settled by the engine.
    pub fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    /// Of the entry about its newest finished attempt.
    pub fn audit_index(&self) -> Option<u64> {
        self.audit_index
    }

    /// The last attempt has this number and has not ended.
    pub(super) fn is_at(&self, attempt: u32) -> bool {
        self.attempts.last().is_some_and(|last| last.n == attempt && last.end == AttemptEnd::Running)
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled(_))
    }

    /// The number of the attempt that comes next.
    pub(super) fn next_attempt(&self) -> u32 {
        self.attempts.last().map_or(1, |last| last.n + 1)
    }

    /// Those that need it may begin.
    pub(super) fn is_satisfied(&self) -> bool {
        match (self.phase, &self.note) {
            (Phase::Settled(StepStatus::Skipped), Some(Note::Skipped { cause, .. })) => *cause == SkipCause::When,
            (Phase::Settled(status), _) => status.is_success() || status == StepStatus::Unavailable,
            _ => false,
        }
    }

    pub(super) fn end_attempt_unknown(&mut self, detail: &str) {
        if let Some(attempt) = self.attempts.last_mut().filter(|attempt| attempt.end == AttemptEnd::Running) {
            attempt.end = AttemptEnd::Lost { detail: detail.to_owned() };
        }
    }
}

impl Attempt {
    /// The word for how it stands: `running`, the status of the tool's output, or `lost`.
    pub fn status(&self) -> &'static str {
        match &self.end {
            AttemptEnd::Running => "running",
            AttemptEnd::Done(result) => crate::workflow::status::status_word(result.output.status),
            AttemptEnd::Lost { .. } => "lost",
        }
    }

    pub fn duration_ms(&self) -> Option<f64> {
        match &self.end {
            AttemptEnd::Done(result) => Some(result.duration_ms),
            AttemptEnd::Running | AttemptEnd::Lost { .. } => None,
        }
    }

    /// What went wrong, for people.
    pub fn error(&self) -> Option<&str> {
        match &self.end {
            AttemptEnd::Done(result) => result.output.reason.as_ref().map(|reason| reason.detail.as_str()),
            AttemptEnd::Lost { detail } => Some(detail),
            AttemptEnd::Running => None,
        }
    }
}
