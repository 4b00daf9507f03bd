//! What an agent's answer means for the step: its end, another attempt, or more patience.
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Advance;
use crate::workflow::advance::Answer;
use crate::workflow::advance::MOST_LOST;
use crate::workflow::backoff;
use crate::workflow::child::NEEDS_HUMAN;
use crate::workflow::event::RunEvent;
use crate::workflow::replay::Subject;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Doer;
use crate::workflow::template::larger_than;

impl Run {
    pub(super) fn answered(
        &mut self,
        place: usize,
        attempt: u32,
        answer: Answer,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) {
        let answer = match self.change_answered(place, attempt, answer, at, advance) {
            Some(answer) => answer,
            None => return,
        };
        let took = self.steps[place].attempts.last().map_or(0.0, |last| millis_between(last.started, at));
        let answer = match answer {
            Answer::Child(end) => Answer::Done(self.child_ended(place, attempt, &end, took, at, advance)),
            other => other,
        };
        let step = self.spec(place);
        let agent = self.doer_name(place);
        let result = match answer {
            Answer::Done(StepResult { output, findings, duration_ms, usage }) => {
                let output = output.checked(self.needs_evidence(place));
                if larger_than(&output.data, self.plan.max_value_bytes()) {
                    let detail = format!("the result is larger than {} bytes", self.plan.max_value_bytes());
                    StepResult::without_data(Status::Failed, Reason::new("too_large", "result", detail), duration_ms)
                } else {
                    StepResult { output, findings, duration_ms, usage }
                }
            }
            Answer::NotDone { detail } => {
                let reason = Reason::new("agent_failed", agent, detail);
                StepResult::without_data(Status::Failed, reason, took)
            }
            Answer::NoAnswer => {
                let detail = format!("{agent} did not answer in time");
                let reason = Reason::new("no_answer", agent, detail);
                StepResult::without_data(Status::TimedOut, reason, took)
            }
            Answer::Child(_) => return,
            Answer::Lost { detail } => return self.lose(place, detail, at, advance),
            Answer::Refused { retry_after, detail } => {
                return self.refused(place, attempt, retry_after, detail, at, advance);
            }
        };
        let retry_at = self.retry_at(place, attempt, &result, at);
        let event = RunEvent::AttemptDone { step: step.id.clone(), attempt, result: Arc::new(result), retry_at };
        self.record(at, Subject::Step(place), event, advance);
    }

    /// When the next attempt follows one that ended so, if one does.
    fn retry_at(&self, place: usize, attempt: u32, result: &StepResult, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (step, state) = (self.spec(place), &self.steps[place]);
        let failures = state.counted + 1;
        let code = result.output.reason.as_ref().map_or("", |reason| reason.code.as_str());
        // The agent broke off somewhere in the middle: only a repeatable tool may be begun again.
        let broken_off = matches!(code, "agent_failed" | "no_answer");
        if self.stopping.is_some()
            || failures >= step.retry.max_attempts
            || !step.retry.covers(&result.output)
            || (broken_off && !self.is_repeatable(place))
            || code == NEEDS_HUMAN
        {
            return None;
        }
        let until = at + backoff::delay(&step.retry, failures, backoff::share(self.id, &step.id, attempt));
        state.deadline.is_some_and(|deadline| until < deadline).then_some(until)
    }

    /// A child brings none of its own: its steps did.
    fn needs_evidence(&self, place: usize) -> bool {
        let of_doer = || self.doer(place).is_none_or(|doer| doer.facts.needs_evidence);
        self.spec(place).playbook().is_none() && of_doer()
    }

    /// May a call whose outcome is unknown be made again? To plan changes nothing.
    fn is_repeatable(&self, place: usize) -> bool {
        let plans = |doer: &Doer| doer.facts.changes && self.steps[place].change.is_none();
        self.doer(place).is_some_and(|doer| doer.facts.repeatable || plans(doer))
    }

    pub(super) fn lose(&mut self, place: usize, detail: String, at: DateTime<Utc>, advance: &mut Advance) {
        let (step, state) = (self.spec(place), &self.steps[place]);
        let attempt = state.attempts.last().map_or(1, |last| last.n);
        let again = self.is_repeatable(place) && self.stopping.is_none() && state.lost < MOST_LOST;
        let event = RunEvent::AttemptLost { step: step.id.clone(), attempt, detail, again };
        self.record(at, Subject::Step(place), event, advance);
    }

    /// The agent did not take the attempt: the step waits, as long as its own time lasts.
    fn refused(
        &mut self,
        place: usize,
        attempt: u32,
        retry_after: Duration,
        detail: String,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) {
        let (step, state) = (self.spec(place), &self.steps[place]);
        let id = step.id.clone();
        let not_before = at + backoff::after_refusal(retry_after, state.refusals + 1);
        let event = if self.stopping.is_some() {
            RunEvent::StepEnded { step: id, status: StepStatus::Cancelled, reason: self.stop_reason() }
        } else if state.deadline.is_some_and(|deadline| not_before < deadline) {
            RunEvent::StepDeferred { step: id, attempt, not_before, detail }
        } else {
            let detail = format!("{} did not take the step within its time: {detail}", self.doer_name(place));
            let reason = Reason::new("agent_unavailable", self.doer_name(place), detail);
            RunEvent::StepEnded { step: id, status: StepStatus::TimedOut, reason }
        };
        self.record(at, Subject::Step(place), event, advance);
    }
}

pub(super) fn millis_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_microseconds().map_or(0.0, |micros| micros.max(0) as f64 / 1_000.0)
}
