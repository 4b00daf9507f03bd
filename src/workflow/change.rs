//! A step that changes the host: planned, approved where that is asked for, carried out; and looked at again when
//! nobody knows whether it was.
//!
//! ```text
//! StepStarted -> Plan -> ChangePlanned -> (StepHeld -> Decided) -> ChangeBegun -> Apply -> AttemptDone
//!                                                                      `-- no answer --> OutcomeSought -> Settle
//!                                             applied: AttemptDone / not applied: AttemptLost, and again / else failed
//! ```
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::toolkit::change::Call;
use crate::toolkit::change::Planned;
use crate::toolkit::change::Settled;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Advance;
use crate::workflow::advance::Answer;
use crate::workflow::advance::Effect;
use crate::workflow::advance::MOST_LOST;
use crate::workflow::advance::STOP_GRACE;
use crate::workflow::backoff;
use crate::workflow::event::RunEvent;
use crate::workflow::replay::Subject;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;

/// How far the attempt of a step that changes something has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Planning,
    Applying,
    /// Looking whether it was applied.
    Seeking,
}

impl Run {
    fn stage(&self, place: usize) -> Option<Stage> {
        self.doer(place).filter(|doer| doer.facts.changes)?;
        Some(match &self.steps[place].change {
            None => Stage::Planning,
            Some(change) if change.sought => Stage::Seeking,
            Some(_) => Stage::Applying,
        })
    }

    /// An attempt is under way whose plan may have been carried out.
    pub(super) fn may_have_changed(&self, place: usize) -> bool {
        matches!(self.stage(place), Some(Stage::Applying | Stage::Seeking))
    }

    /// The answer to a call of a change, as far as it is one of its own; what is left is the end of the attempt.
    pub(super) fn change_answered(
        &mut self,
        place: usize,
        attempt: u32,
        answer: Answer,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) -> Option<Answer> {
        match (self.stage(place), answer) {
            (Some(Stage::Planning), Answer::Done(result)) if result.output.status == Status::Ok => {
                match Planned::from_output(&result.output) {
                    Ok(Planned { plan, summary, .. }) => {
                        // The journal keeps what is to be done and undone.
                        let planned = Planned { plan, summary, evidence: Vec::new() };
                        self.planned(place, attempt, Arc::new(planned), at, advance);
                    }
                    Err(cause) => {
                        let reason = Reason::new("bad_plan", self.doer_name(place), cause);
                        let failed = StepResult::without_data(Status::Failed, reason, result.duration_ms);
                        return Some(Answer::Done(failed));
                    }
                }
                None
            }
            (Some(Stage::Applying), answer) if self.stopping.is_none() && is_unknown(&answer) => {
                self.seek_outcome(place, at, advance);
                None
            }
            (Some(Stage::Seeking), answer) => self.sought(place, attempt, answer, at, advance),
            (_, answer) => Some(answer),
        }
    }

    fn planned(&mut self, place: usize, attempt: u32, planned: Arc<Planned>, at: DateTime<Utc>, advance: &mut Advance) {
        let step = self.spec(place).clone();
        let event = RunEvent::ChangePlanned { step: step.id, attempt, planned: Arc::clone(&planned) };
        self.record(at, Subject::Step(place), event, advance);
        match &step.approve {
            _ if self.stopping.is_some() => {
                let reason = self.stop_reason();
                self.end_held(place, Status::Aborted, reason, at, advance);
            }
            Some(approval) => self.ask_approval(place, approval, None, Some(&planned.plan), at, advance),
            None => self.carry_out(place, at, advance),
        }
    }

    /// Applies the plan, which is durable by then.
    pub(super) fn carry_out(&mut self, place: usize, at: DateTime<Utc>, advance: &mut Advance) {
        let state = &self.steps[place];
        let (Some(attempt), true) = (state.attempts.last().map(|last| last.n), state.change.is_some()) else { return };
        let step = self.spec(place).id.clone();
        self.record(at, Subject::Step(place), RunEvent::ChangeBegun { step, attempt }, advance);
        self.call_with_plan(place, Call::Apply, at, advance);
    }

    pub(super) fn seek_outcome(&mut self, place: usize, at: DateTime<Utc>, advance: &mut Advance) {
        let Some(attempt) = self.steps[place].attempts.last().map(|last| last.n) else { return };
        let step = self.spec(place).id.clone();
        self.record(at, Subject::Step(place), RunEvent::OutcomeSought { step, attempt }, advance);
        self.call_with_plan(place, Call::Settle, at, advance);
    }

    fn call_with_plan(
        &mut self,
        place: usize,
        call: impl FnOnce(Arc<serde_json::Value>) -> Call,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) {
        let (step, state) = (self.spec(place), &self.steps[place]);
        let (Some(doer), Some(change), Some(attempt)) = (self.doer(place), &state.change, state.attempts.last()) else {
            return;
        };
        let call = call(Arc::new(change.planned.plan.clone()));
        // To look what became of it may take longer than the step has: it must be known.
        let timeout = match call {
            Call::Settle(_) => step.timeout,
            _ => self.time_for(place, at),
        };
        advance.effects.push(Effect::Dispatch {
            step: step.id.clone(),
            agent: doer.agent.clone(),
            tool: doer.tool.clone(),
            attempt: attempt.n,
            input: Arc::clone(&attempt.input),
            call,
            timeout: timeout.max(STOP_GRACE),
        });
    }

    fn sought(
        &mut self,
        place: usize,
        attempt: u32,
        answer: Answer,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) -> Option<Answer> {
        let step = self.spec(place).id.clone();
        let state = &self.steps[place];
        let (retry_after, detail) = match answer {
            Answer::Done(result) if result.output.status == Status::Ok => match Settled::from_output(&result.output) {
                Ok(Settled::Applied { data }) => {
                    let output = Output::ok(data, result.output.evidence);
                    return Some(Answer::Done(StepResult { output, ..result_of(result.duration_ms) }));
                }
                Ok(Settled::NotApplied) => {
                    let again = self.stopping.is_none() && state.lost < MOST_LOST;
                    let detail = "the attempt ended before it changed anything".to_owned();
                    let event = RunEvent::AttemptLost { step, attempt, detail, again };
                    self.record(at, Subject::Step(place), event, advance);
                    return None;
                }
                Ok(Settled::Neither { detail }) => {
                    let event = RunEvent::AttemptLost { step, attempt, detail, again: false };
                    self.record(at, Subject::Step(place), event, advance);
                    return None;
                }
                Err(cause) => (Duration::ZERO, cause),
            },
            Answer::Refused { retry_after, detail } => (retry_after, detail),
            Answer::Child(end) => (Duration::ZERO, format!("run {} answered", end.child)),
            Answer::Done(result) => {
                let reason = result.output.reason.map_or_else(|| "no reason given".to_owned(), |reason| reason.detail);
                (Duration::ZERO, reason)
            }
            Answer::NotDone { detail } | Answer::Lost { detail } => (Duration::ZERO, detail),
            Answer::NoAnswer => (Duration::ZERO, format!("{} did not answer in time", self.doer_name(place))),
        };
        let event = if self.stopping.is_some() || state.refusals > 10 * MOST_LOST {
            let detail = format!("whether the change was made could not be found out: {detail}");
            RunEvent::AttemptLost { step, attempt, detail, again: false }
        } else {
            let not_before = at + backoff::after_refusal(retry_after, state.refusals + 1);
            RunEvent::OutcomeDeferred { step, attempt, not_before, detail }
        };
        self.record(at, Subject::Step(place), event, advance);
        None
    }
}

/// Does this answer leave open whether the plan was carried out?
fn is_unknown(answer: &Answer) -> bool {
    match answer {
        Answer::Done(result) => result.output.status == Status::TimedOut,
        Answer::NotDone { .. } | Answer::NoAnswer | Answer::Lost { .. } => true,
        Answer::Refused { .. } | Answer::Child(_) => false,
    }
}

fn result_of(duration_ms: f64) -> StepResult {
    StepResult {
        output: Output::ok(serde_json::Value::Null, Vec::new()),
        findings: Vec::new(),
        duration_ms,
        usage: None,
    }
}
