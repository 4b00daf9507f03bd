//! A step that runs a playbook: each of its attempts is a run of its own, the child, and ends as the child does.
//!
//! ```text
//! StepStarted { child } -> RunChild -> ... the child ends ... -> ChildEnded -> AttemptDone
//!    pause, resume, stop of the parent -> Hold, Stop -> the child
//!    the parent undoes the step: UndoBegun -> UndoChild -> ... the child ends again ... -> UndoDone
//! ```
//! The child is named by the journal before it is begun, so that whoever begins it again begins the same one.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::Digest as _;
use sha2::Sha256;
use uuid::Builder;

use crate::ids::RunId;
use crate::ids::StepId;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Advance;
use crate::workflow::advance::Effect;
use crate::workflow::event::RunEvent;
use crate::workflow::plan::Plan;
use crate::workflow::replay::Subject;
use crate::workflow::result::StepResult;
use crate::workflow::run::Change;
use crate::workflow::run::Maker;
use crate::workflow::run::Run;
use crate::workflow::status::RunStatus;
use crate::workflow::step_run::Phase;
use crate::workflow::template::larger_than;

/// The label that names the run that a child belongs to.
pub const LABEL: &str = "child_of";
/// A person is needed, in the child: nothing is tried again.
pub(super) const NEEDS_HUMAN: &str = "child_needs_human";

/// Whose child a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub run: RunId,
    pub step: StepId,
}

impl Parent {
    /// As who the parent steers its child.
    pub fn name(&self) -> String {
        name_of(self.run)
    }
}

/// As who a run steers its children.
pub fn name_of(run: RunId) -> String {
    format!("run:{run}")
}

/// How a child ended, or stands after it was to be undone.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildEnd {
    pub child: RunId,
    pub status: RunStatus,
    pub success_rate: Option<f64>,
    pub execution_time_ms: Option<u64>,
    /// It succeeded, but some of it was unavailable or degraded.
    pub in_part: bool,
    /// It changed something that is not undone.
    pub has_changes: bool,
    /// The data of each of its steps that gave any.
    pub results: Map<String, Value>,
}

impl ChildEnd {
    /// None: it has not ended.
    pub fn of(run: &Run) -> Option<Self> {
        let counts = run.counts();
        run.is_finished().then(|| ChildEnd {
            child: run.id(),
            status: run.status(),
            success_rate: run.success_rate(),
            execution_time_ms: run.execution_time_ms(),
            in_part: counts.degraded + counts.unavailable > 0,
            has_changes: run.has_changes(),
            results: run.results().map(|(step, data)| (step.to_string(), data.clone())).collect(),
        })
    }

    /// Of a child that was not begun, since its parent was stopped.
    pub fn of_none(child: RunId) -> Self {
        ChildEnd {
            child,
            status: RunStatus::Cancelled,
            success_rate: None,
            execution_time_ms: None,
            in_part: false,
            has_changes: false,
            results: Map::new(),
        }
    }

    /// Without `results` where they make it larger than a value may be.
    fn data(&self, most_bytes: usize) -> Value {
        let with = |results: Value| {
            json!({
                "workflow_id": self.child, "status": self.status, "success_rate": self.success_rate,
                "execution_time_ms": self.execution_time_ms, "results": results,
            })
        };
        let whole = with(Value::Object(self.results.clone()));
        if larger_than(&whole, most_bytes) { with(Value::Null) } else { whole }
    }
}

/// The id of the child of this attempt, which began then: no other has it, and lists find it by that time.
pub(super) fn id_of(run: RunId, step: &StepId, attempt: u32, began: DateTime<Utc>) -> RunId {
    let hash = Sha256::digest(format!("{run}/{step}/{attempt}"));
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&hash[..10]);
    let millis = u64::try_from(began.timestamp_millis()).unwrap_or_default();
    RunId(Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
}

/// A playbook's inputs with those that are given in place of its own.
pub(super) fn inputs_of(plan: &Plan, given: &Value) -> Value {
    let mut inputs = plan.inputs().clone();
    if let (Some(inputs), Some(given)) = (inputs.as_object_mut(), given.as_object()) {
        inputs.extend(given.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    inputs
}

impl Run {
    /// Whose child it is.
    pub fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// Begins an attempt of a step that runs a playbook.
    pub(super) fn begin_child(&mut self, place: usize, input: Arc<Value>, at: DateTime<Utc>, advance: &mut Advance) {
        let (step, attempt) = (self.spec(place).id.clone(), self.steps[place].next_attempt());
        let child = Some(id_of(self.id, &step, attempt, at));
        self.record(at, Subject::Step(place), RunEvent::StepStarted { step, attempt, input, child }, advance);
        self.run_child(place, false, advance);
    }

    /// Has the child of the attempt under way run, or be found again.
    fn run_child(&self, place: usize, again: bool, advance: &mut Advance) {
        let (step, Some(last)) = (self.spec(place), self.steps[place].attempts.last()) else { return };
        let (Some((_, plan)), Some(child)) = (step.playbook(), last.child) else { return };
        // From the journal alone: whoever begins it again comes to the same.
        let timeout = plan.timeout().min(self.time_for(place, last.started));
        let plan = plan.for_child(self.id, self.plan.priority(), last.input.as_ref().clone(), timeout);
        advance.effects.push(Effect::RunChild { step: step.id.clone(), attempt: last.n, child, plan, again });
    }

    /// An attempt is under way that is a child.
    pub(super) fn waits_for_child(&self, place: usize) -> bool {
        let state = &self.steps[place];
        state.phase == Phase::Running && state.attempts.last().is_some_and(|last| last.child.is_some())
    }

    fn waits_for_children(&self) -> bool {
        (0..self.steps.len()).any(|place| self.waits_for_child(place))
    }

    /// After a replay: the child went its own way, and is asked for.
    pub(super) fn find_child_again(&self, place: usize, advance: &mut Advance) {
        self.run_child(place, true, advance);
        if let (Some(_), Some(last)) = (self.stopping, self.steps[place].attempts.last()) {
            advance.effects.push(Effect::Stop { step: self.spec(place).id.clone(), attempt: last.n });
        }
    }

    /// Children are to wait, or to go on, as the run does.
    pub(super) fn hold_children(&self, advance: &mut Advance) {
        if self.waits_for_children() {
            advance.effects.push(Effect::HoldChildren { hold: self.paused_by.is_some() });
        }
    }

    pub(super) fn child_ended(
        &mut self,
        place: usize,
        attempt: u32,
        end: &ChildEnd,
        took: f64,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) -> StepResult {
        let step = self.spec(place).id.clone();
        let (child, status, has_changes) = (end.child, end.status, end.has_changes);
        let event = RunEvent::ChildEnded { step, attempt, child, status, has_changes };
        self.record(at, Subject::Step(place), event, advance);
        let name = self.doer_name(place);
        let reason = |code: &str, what: &str| Some(Reason::new(code, name, format!("run {child} {what}")));
        let (status, reason) = match end.status {
            RunStatus::Succeeded if end.in_part => {
                (Status::Degraded, reason("child_degraded", "was done in part, or not available in part"))
            }
            RunStatus::Succeeded => (Status::Ok, None),
            // It was told to end, and took back what it had done where its playbook says so.
            RunStatus::Cancelled | RunStatus::RolledBack if self.stopping.is_some() => {
                (Status::Aborted, Some(self.stop_reason()))
            }
            RunStatus::Cancelled => (Status::Aborted, reason("child_cancelled", "was cancelled")),
            RunStatus::TimedOut => (Status::TimedOut, reason("child_timed_out", "ran out of time")),
            RunStatus::RolledBack => {
                (Status::Failed, reason("child_rolled_back", "did not succeed, and what it changed is undone"))
            }
            RunStatus::NeedsHuman => (Status::Failed, reason(NEEDS_HUMAN, "needs a person: see there what is left")),
            RunStatus::Failed | RunStatus::Running | RunStatus::Paused | RunStatus::Waiting => {
                (Status::Failed, reason("child_failed", "failed"))
            }
        };
        let output = Output { status, data: end.data(self.plan.max_value_bytes()), evidence: Vec::new(), reason };
        StepResult { output, findings: Vec::new(), duration_ms: took, usage: None }
    }

    /// What it means for the undoing of a step that its child stands like this.
    pub(super) fn child_undone(&self, place: usize, end: &ChildEnd, took: f64) -> StepResult {
        if end.has_changes {
            let detail = format!("run {} is {}: see there what is left", end.child, end.status.as_str());
            let reason = Reason::new(NEEDS_HUMAN, self.doer_name(place), detail);
            return StepResult::without_data(Status::Failed, reason, took);
        }
        let output = Output::ok(json!({ "workflow_id": end.child, "status": end.status }), Vec::new());
        StepResult { output, findings: Vec::new(), duration_ms: took, usage: None }
    }

    /// From now on it may change something.
    pub(super) fn remember_child(&mut self, place: usize, child: Option<RunId>) {
        if let Some(child) = child {
            let (plan, maker) = (Arc::new(json!({ "workflow_id": child })), Maker::Child(child));
            self.changes.push(Change { place, maker, plan, undo: Vec::new(), tries: 0, undone: false });
        }
    }

    /// The child of the attempt under way was not begun, or has changed nothing: there is nothing to undo.
    pub(super) fn forget_child(&mut self, place: usize) {
        let child = self.steps[place].attempts.last().and_then(|last| last.child).map(Maker::Child);
        self.changes.retain(|change| child.as_ref() != Some(&change.maker));
    }
}
