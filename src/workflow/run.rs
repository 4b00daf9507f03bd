//! One run: its state, and what can be asked of it. `advance` decides, `replay` moves the state by events.
//!
//! ```text
//! step:  pending --StepStarted--> running --AttemptDone--> settled (succeeded, failed ...)
//!           |                      |  ^ `--AttemptLost--> settled, or waiting
//!           |          StepDeferred|  |StepStarted
//!           |   AttemptDone(retry) v  |
//!           |                     waiting --StepEnded--> settled
//!           `--StepSkipped, StepEnded--> settled
//! run:   running <--Paused, Resumed--> paused
//!        running --Cancelled, TimedOut--> stopping --Finished--> cancelled, timed_out
//!           `--Finished--> succeeded, failed
//! ```
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::RunId;
use crate::ids::StepId;
use crate::judges::finding::Finding;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::workflow::event::RunStatus;
use crate::workflow::event::SkipCause;
use crate::workflow::event::StepStatus;
use crate::workflow::plan::Plan;
use crate::workflow::result::StepResult;
use crate::workflow::step::Choice;
use crate::workflow::step::Doer;
use crate::workflow::step::Step;
use crate::workflow::summary::Counts;

/// A run. Results sit behind `Arc`s: a clone copies no output.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub(super) id: RunId,
    pub(super) plan: Plan,
    pub(super) by: String,
    pub(super) accepted: DateTime<Utc>,
    pub(super) deadline: DateTime<Utc>,
    pub(super) status: RunStatus,
    pub(super) steps: Vec<StepRun>,
    pub(super) counts: Counts,
    /// Steps that have not settled, and those of them that an agent is working on.
    pub(super) open: usize,
    pub(super) running: usize,
    /// Steps whose needs are met, in the order in which that happened.
    pub(super) ready: VecDeque<usize>,
    /// Steps that can no longer run since one they need did not succeed.
    pub(super) doomed: VecDeque<usize>,
    /// When waiting steps are due.
    pub(super) timers: BTreeSet<(DateTime<Utc>, usize)>,
    pub(super) stopping: Option<Stopping>,
    /// Who paused it; nothing is begun meanwhile.
    pub(super) paused_by: Option<String>,
    /// What the next step of a pipeline is handed.
    pub(super) prev: Option<Arc<StepResult>>,
    pub(super) finished: Option<Finish>,
    /// The moment for which a wake-up was asked.
    pub(super) armed: Option<DateTime<Utc>>,
    /// How many events the run has.
    pub(super) seq: u32,
    pub(super) audit_index: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopping {
    pub since: DateTime<Utc>,
    /// What the run will be once its running steps have ended: cancelled or timed out.
    pub into: RunStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finish {
    pub at: DateTime<Utc>,
    pub execution_time_ms: u64,
}

/// The state of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRun {
    pub(super) phase: Phase,
    pub(super) attempts: Vec<Attempt>,
    /// By the learner.
    pub(super) chosen: Option<Arc<Choice>>,
    /// The learner was asked.
    pub(super) choosing: bool,
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
    Waiting { until: DateTime<Utc> },
    Settled(StepStatus),
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

impl Run {
    pub fn id(&self) -> RunId {
        self.id
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Who asked for it.
    pub fn by(&self) -> &str {
        &self.by
    }

    pub fn accepted(&self) -> DateTime<Utc> {
        self.accepted
    }

    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// Who paused the run, while it is paused.
    pub fn paused_by(&self) -> Option<&str> {
        self.paused_by.as_deref()
    }

    pub fn is_finished(&self) -> bool {
        self.status.is_final()
    }

    pub fn finished(&self) -> Option<DateTime<Utc>> {
        self.finished.map(|finish| finish.at)
    }

    /// From acceptance to the end; none: it has not ended.
    pub fn execution_time_ms(&self) -> Option<u64> {
        self.finished.map(|finish| finish.execution_time_ms)
    }

    /// Of the steps settled so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn success_rate(&self) -> Option<f64> {
        self.counts.success_rate()
    }

    pub fn coverage(&self) -> Option<f64> {
        self.counts.coverage()
    }

    pub fn running_steps(&self) -> usize {
        self.running
    }

    /// How many events the run has; the next one gets this number.
    pub fn next_seq(&self) -> u32 {
        self.seq
    }

    /// In the order of the document.
    pub fn steps(&self) -> impl Iterator<Item = (&Step, &StepRun)> {
        self.plan.steps().iter().zip(&self.steps)
    }

    pub fn step(&self, id: &StepId) -> Option<&StepRun> {
        self.steps.get(self.plan.place(id)?)
    }

    /// Who does the step at this place, as the document says or as it was chosen; none: it has not been chosen yet.
    pub fn doer(&self, place: usize) -> Option<&Doer> {
        let named = self.plan.steps().get(place)?.doer.as_ref();
        named.or_else(|| self.steps[place].chosen.as_ref().map(|choice| &choice.doer))
    }

    /// For sentences about the step at this place.
    pub(super) fn doer_name(&self, place: usize) -> &str {
        self.doer(place).map_or("nobody", |doer| doer.agent.as_str())
    }

    /// The data of each step that gave any.
    pub fn results(&self) -> impl Iterator<Item = (&StepId, &Value)> {
        self.steps().filter_map(|(step, state)| {
            let output = state.output().filter(|output| !output.data.is_null())?;
            Some((&step.id, &output.data))
        })
    }

    /// The findings of all settled steps.
    pub fn findings(&self) -> impl Iterator<Item = (&StepId, &Finding)> {
        self.steps().flat_map(|(step, state)| state.findings().iter().map(move |finding| (&step.id, finding)))
    }

    /// What the host could not tell, wholly or in part, and why.
    pub fn unavailable(&self) -> impl Iterator<Item = (&StepId, StepStatus, &Reason)> {
        self.steps().filter_map(|(step, state)| {
            let status = state.status();
            let reason = state.output()?.reason.as_ref()?;
            matches!(status, StepStatus::Unavailable | StepStatus::Degraded).then_some((&step.id, status, reason))
        })
    }

    /// Remembers the audit index that the store gave to an entry of this run or of one of its steps.
    pub fn note_audit(&mut self, step: Option<&StepId>, index: u64) {
        match step.and_then(|id| self.plan.place(id)) {
            Some(place) => self.steps[place].audit_index = Some(index),
            None => self.audit_index = Some(index),
        }
    }

    /// Of the newest entry about the run itself.
    pub fn audit_index(&self) -> Option<u64> {
        self.audit_index
    }
}

impl StepRun {
    pub(super) fn new(unmet: usize) -> Self {
        StepRun {
            phase: Phase::Pending,
            attempts: Vec::new(),
            chosen: None,
            choosing: false,
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
            Phase::Running => StepStatus::Running,
            // Between two attempts the step is under way; refused before its first it has not begun.
            Phase::Waiting { .. } if !self.attempts.is_empty() => StepStatus::Running,
            Phase::Waiting { .. } | Phase::Pending => StepStatus::Pending,
        }
    }

    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// How its agent was chosen, where the document names none.
    pub fn chosen(&self) -> Option<&Choice> {
        self.chosen.as_deref()
    }

    /// When a waiting step is tried again.
    pub fn waiting_until(&self) -> Option<DateTime<Utc>> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Pending | Phase::Running | Phase::Settled(_) => None,
        }
    }

    /// The result that settled the step; none if it has not settled or the engine settled it.
    pub fn result(&self) -> Option<&Arc<StepResult>> {
        match (self.phase, &self.note, self.attempts.last().map(|attempt| &attempt.end)) {
            (Phase::Settled(_), None, Some(AttemptEnd::Done(result))) => Some(result),
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

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled(_))
    }
}

impl Attempt {
    /// The word for how it stands: `running`, the status of the tool's output, or `lost`.
    pub fn status(&self) -> &'static str {
        match &self.end {
            AttemptEnd::Running => "running",
            AttemptEnd::Done(result) => crate::workflow::event::status_word(result.output.status),
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
