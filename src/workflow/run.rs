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
//!        running --Cancelled, TimedOut, Failing--> stopping --Finished--> cancelled, timed_out, failed
//!           |                                        |
//!           |--RollbackBegun-- (all steps settled) --'-> undoing --Finished--> rolled_back, needs_human
//!           `--Finished--> succeeded, failed
//! ```
//! `held` steps wait for a time, a signal or a decision. A step that changes the host has its plan journalled before
//! anything is changed (`change`), and is undone by it (`undo`).
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::RunId;
use crate::ids::SignalName;
use crate::ids::StepId;
use crate::judges::finding::Finding;
use crate::toolkit::output::Reason;
use crate::workflow::child::Parent;
use crate::workflow::plan::Plan;
use crate::workflow::result::StepResult;
use crate::workflow::status::RunStatus;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Doer;
use crate::workflow::step::Step;
use crate::workflow::step_run::Attempt;
use crate::workflow::step_run::StepRun;
use crate::workflow::summary::Counts;

/// A run. Results sit behind `Arc`s: a clone copies no output.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub(super) id: RunId,
    pub(super) plan: Plan,
    pub(super) by: String,
    pub(super) parent: Option<Parent>,
    pub(super) accepted: DateTime<Utc>,
    pub(super) deadline: DateTime<Utc>,
    pub(super) status: RunStatus,
    pub(super) steps: Vec<StepRun>,
    /// Of steps with `for_each`, once they are begun: each is a step of its own.
    pub(super) items: Vec<Step>,
    /// Steps whose items have all settled.
    pub(super) gathered: VecDeque<usize>,
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
    /// Of the open steps those that wait for a signal or a decision.
    pub(super) held: usize,
    /// What came for steps that do not wait for it yet.
    pub(super) signals: BTreeMap<SignalName, VecDeque<Arc<Value>>>,
    /// In the order in which they were begun.
    pub(super) changes: Vec<Change>,
    pub(super) undoing: Option<Undoing>,
    /// Who paused it; nothing is begun meanwhile.
    pub(super) paused_by: Option<String>,
    /// What the next step of a pipeline is handed.
    pub(super) prev: Option<Arc<StepResult>>,
    pub(super) finished: Option<Finish>,
    /// The moment for which a wake-up was asked.
    pub(super) armed: Option<DateTime<Utc>>,
    /// The size of the inputs and results of its steps.
    pub(super) weight: usize,
    /// How many events the run has.
    pub(super) seq: u32,
    pub(super) audit_index: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopping {
    pub since: DateTime<Utc>,
    /// What the run will be once its running steps have ended: cancelled, timed out or failed.
    pub into: RunStatus,
    /// What it changed is undone then.
    pub undo: bool,
}

/// What one step changed on the host, or may have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub place: usize,
    /// Who made it, and undoes it.
    pub maker: Maker,
    pub plan: Arc<Value>,
    pub undo: Vec<Attempt>,
    /// Of the rollback under way, or of the last.
    pub tries: u32,
    pub undone: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Maker {
    Agent(Doer),
    Child(RunId),
}

impl Maker {
    pub fn doer(&self) -> Option<&Doer> {
        match self {
            Maker::Agent(doer) => Some(doer),
            Maker::Child(_) => None,
        }
    }
}

/// The run undoes its changes, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undoing {
    Ready,
    Running,
    Waiting {
        until: DateTime<Utc>,
    },
    /// A person is needed.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finish {
    pub at: DateTime<Utc>,
    pub execution_time_ms: u64,
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
        // It would not go on by itself, but for what a wait that is too long ends in.
        let alone = self.running == 0 && self.ready.is_empty() && self.held == self.timers.len();
        if self.status == RunStatus::Running && self.held > 0 && alone { RunStatus::Waiting } else { self.status }
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

    /// In the order of the document; after them the items of those that were spread.
    pub fn steps(&self) -> impl Iterator<Item = (&Step, &StepRun)> {
        self.plan.steps().iter().chain(&self.items).zip(&self.steps)
    }

    /// What a step is to do.
    pub fn spec(&self, place: usize) -> &Step {
        let planned = self.plan.steps();
        planned.get(place).unwrap_or_else(|| &self.items[place - planned.len()])
    }

    /// Where a step stands among all that `steps` gives.
    pub fn place(&self, id: &StepId) -> Option<usize> {
        let Some((parent, n)) = item_of(id) else { return self.plan.place(id) };
        let first = self.steps[self.plan.place(&StepId::new(parent).ok()?)?].spread.as_ref()?;
        (n < first.count).then_some(first.place + n)
    }

    /// It is one of the items of a step.
    pub(super) fn is_item(&self, place: usize) -> bool {
        place >= self.plan.steps().len()
    }

    pub fn step(&self, id: &StepId) -> Option<&StepRun> {
        self.steps.get(self.place(id)?)
    }

    /// Who does the step at this place, as the document says or as it was chosen; none: it has not been chosen yet.
    pub fn doer(&self, place: usize) -> Option<&Doer> {
        let named = self.steps.get(place).map(|_| self.spec(place))?.doer();
        named.or_else(|| self.steps[place].chosen.as_ref().map(|choice| &choice.doer))
    }

    /// Who undoes, or has undone last, what the step at this place changed.
    pub(super) fn undoer(&self, place: usize) -> Option<&Doer> {
        let mut changes = self.changes.iter().filter(|change| change.place == place);
        // The last is undone first.
        changes.find(|change| !change.undo.is_empty()).and_then(|change| change.maker.doer())
    }

    /// For sentences about the step at this place.
    pub(super) fn doer_name(&self, place: usize) -> &str {
        match self.spec(place).playbook() {
            Some((playbook, _)) => playbook,
            None => self.doer(place).map_or("nobody", |doer| doer.agent.as_str()),
        }
    }

    /// The data of each step that gave any.
    pub fn results(&self) -> impl Iterator<Item = (&StepId, &Value)> {
        self.plan.steps().iter().zip(&self.steps).filter_map(|(step, state)| {
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

    /// What was done to undo the step, the newest change's last.
    pub fn undo_of(&self, step: &StepId) -> impl Iterator<Item = &Attempt> {
        let place = self.place(step);
        self.changes.iter().filter(move |change| Some(change.place) == place).flat_map(|change| &change.undo)
    }

    /// Whether there is something that could be undone.
    pub fn has_changes(&self) -> bool {
        self.changes.iter().any(|change| !change.undone)
    }

    /// Remembers the audit index that the store gave to an entry of this run or of one of its steps.
    pub fn note_audit(&mut self, step: Option<&StepId>, index: u64) {
        match step.and_then(|id| self.place(id)) {
            Some(place) => self.steps[place].audit_index = Some(index),
            None => self.audit_index = Some(index),
        }
    }

    /// Of the newest entry about the run itself.
    pub fn audit_index(&self) -> Option<u64> {
        self.audit_index
    }
}

/// `step[3]` as its two parts.
pub(super) fn item_of(id: &StepId) -> Option<(&str, usize)> {
    let (parent, n) = id.as_str().strip_suffix(']')?.split_once('[')?;
    Some((parent, n.parse().ok()?))
}
