//! Steps that wait for a time, a signal or the decision of a person.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::Digest as _;
use sha2::Sha256;

use crate::audit::entry::canonical;
use crate::ids::Digest;
use crate::ids::SignalName;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Advance;
use crate::workflow::answer::millis_between;
use crate::workflow::event::RunEvent;
use crate::workflow::replay::Subject;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;
use crate::workflow::status::Hold;
use crate::workflow::step::Approval;
use crate::workflow::step::Work;
use crate::workflow::step_run::Asked;

impl Run {
    /// Begins to wait, or goes on at once with a signal that is there already.
    pub(super) fn hold(&mut self, place: usize, at: DateTime<Utc>, advance: &mut Advance) {
        let step = self.spec(place);
        let (on, until) = match &step.work {
            Work::Sleep { time } => (Hold::Time, at + *time),
            Work::Signal { name } => {
                if let Some(payload) = self.signals.get(name).and_then(|signals| signals.front()) {
                    let payload = payload.as_ref().clone();
                    return self.give(place, payload, at, at, advance);
                }
                (Hold::Signal, at + step.timeout)
            }
            Work::Gate {} | Work::Tool(_) | Work::Task { .. } | Work::Playbook { .. } => {
                let Some(approval) = step.approve.clone() else { return };
                return self.ask_approval(place, &approval, None, None, at, advance);
            }
        };
        let held = RunEvent::StepHeld { step: step.id.clone(), on, until, input: None, digest: None };
        self.record(at, Subject::Step(place), held, advance);
    }

    /// Has the step wait for a person: `input` is exactly what will be done, `plan` what will be changed.
    pub(super) fn ask_approval(
        &mut self,
        place: usize,
        approval: &Approval,
        input: Option<Arc<Value>>,
        plan: Option<&Value>,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) {
        let digest = plan.or(input.as_deref()).map(digest_of);
        let step = self.spec(place).id.clone();
        let held = RunEvent::StepHeld { step, on: Hold::Approval, until: at + approval.expires, input, digest };
        self.record(at, Subject::Step(place), held, advance);
    }

    /// A step that does no work ends well.
    fn give(&mut self, place: usize, data: Value, since: DateTime<Utc>, at: DateTime<Utc>, advance: &mut Advance) {
        let (output, duration_ms) = (Output::ok(data, Vec::new()), millis_between(since, at));
        let result = Arc::new(StepResult { output, findings: Vec::new(), duration_ms, usage: None });
        let step = self.spec(place).id.clone();
        self.record(at, Subject::Step(place), RunEvent::StepGiven { step, result }, advance);
    }

    /// What a held step waited for did not come in time, or it waited for the time alone.
    pub(super) fn time_is_up(&mut self, place: usize, on: Hold, at: DateTime<Utc>, advance: &mut Advance) {
        let reason = match (on, &self.spec(place).work) {
            (Hold::Time, _) => return self.give(place, Value::Null, at, at, advance),
            (_, Work::Signal { name }) => {
                Reason::new("no_signal", name.as_str(), format!("the signal `{name}` did not come in time"))
            }
            (..) => Reason::new("approval_expired", "approval", "nobody decided in time"),
        };
        self.end_held(place, Status::TimedOut, reason, at, advance);
    }

    /// Settles a held step that is not to go on. An attempt that has planned its change, and no more, ends with it.
    pub(super) fn end_held(
        &mut self,
        place: usize,
        status: Status,
        reason: Reason,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) {
        let (step, state) = (self.spec(place).id.clone(), &self.steps[place]);
        let planned = state.attempts.last().filter(|last| state.is_at(last.n));
        let event = match planned.map(|last| (last.n, millis_between(last.started, at))) {
            Some((attempt, took)) => {
                let result = Arc::new(StepResult::without_data(status, reason, took));
                RunEvent::AttemptDone { step, attempt, result, retry_at: None }
            }
            None => RunEvent::StepEnded { step, status: status.into(), reason },
        };
        self.record(at, Subject::Step(place), event, advance);
    }

    /// False: no step of the run waits for it, or will.
    pub(super) fn signalled(
        &mut self,
        name: SignalName,
        payload: Arc<Value>,
        by: String,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) -> bool {
        let waits = |place: &usize| {
            let work = &self.spec(*place).work;
            !self.steps[*place].is_settled() && matches!(work, Work::Signal { name: of_step } if *of_step == name)
        };
        let waiting: Vec<usize> = (0..self.steps.len()).filter(waits).collect();
        let kept = self.signals.get(&name).map_or(0, |signals| signals.len());
        if self.stopping.is_some() || waiting.len() <= kept {
            return false;
        }
        let data = payload.as_ref().clone();
        self.record(at, Subject::Run, RunEvent::Signalled { name, payload, by }, advance);
        let held = waiting.into_iter().find(|place| self.steps[*place].held_on() == Some(Hold::Signal));
        if let Some(place) = held {
            self.give(place, data, at, at, advance);
        }
        true
    }

    /// Whether the step waits for a decision about just that.
    pub(super) fn may_decide(&self, place: usize, digest: Option<Digest>, at: DateTime<Utc>) -> bool {
        let state = &self.steps[place];
        // Nothing expires by itself while the run is paused.
        let same = |asked: &Asked| at < asked.until && (digest.is_none() || digest == asked.digest);
        self.stopping.is_none() && state.held_on() == Some(Hold::Approval) && state.asked().is_some_and(same)
    }

    pub(super) fn decided(&mut self, place: usize, event: RunEvent, at: DateTime<Utc>, advance: &mut Advance) {
        let RunEvent::Decided { approved, by, comment, .. } = &event else { return };
        let (approved, by, comment) = (*approved, by.clone(), comment.clone());
        self.record(at, Subject::Step(place), event, advance);
        if !approved {
            let why = comment.map(|comment| format!(": {comment}")).unwrap_or_default();
            let reason = Reason::new("not_approved", "approval", format!("{by} did not approve it{why}"));
            self.end_held(place, Status::Denied, reason, at, advance);
        } else if self.spec(place).work == (Work::Gate {}) {
            let since = self.steps[place].asked().map_or(at, |asked| asked.at);
            self.give(place, json!({ "approved_by": by, "comment": comment }), since, at, advance);
        }
    }
}

/// SHA-256 of the value as canonical JSON (RFC 8785).
pub fn digest_of(value: &Value) -> Digest {
    Digest(Sha256::digest(canonical(value)).into())
}
