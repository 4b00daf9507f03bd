//! Undoing what a run changed: one change after the other, the last first, until all is undone or a person is needed.
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::ids::StepId;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Advance;
use crate::workflow::advance::Answer;
use crate::workflow::advance::Effect;
use crate::workflow::answer::millis_between;
use crate::workflow::backoff;
use crate::workflow::child::NEEDS_HUMAN;
use crate::workflow::event::RunEvent;
use crate::workflow::replay::Subject;
use crate::workflow::result::StepResult;
use crate::workflow::run::Change;
use crate::workflow::run::Maker;
use crate::workflow::run::Run;
use crate::workflow::run::Undoing;
use crate::workflow::status::RunStatus;
use crate::workflow::step::Jitter;
use crate::workflow::step::Retry;

/// How often the undoing of one change is tried before a person is called.
const MOST_TRIES: u32 = 8;

impl Run {
    pub(super) fn next_undo(&self) -> Option<&Change> {
        self.changes.iter().rev().find(|change| !change.undone)
    }

    /// All steps have settled: ends the run, or undoes what it changed.
    pub(super) fn conclude(&mut self, at: DateTime<Utc>, advance: &mut Advance) {
        let wanted = self.stopping.is_some_and(|stopping| stopping.undo);
        if self.undoing.is_none() && wanted && self.has_changes() {
            self.record(at, Subject::Run, RunEvent::RollbackBegun { by: None }, advance);
        }
        match self.undoing {
            None => {
                let status = self.stopping.map_or_else(|| self.counts.verdict(), |stopping| stopping.into);
                self.finish(status, at, advance);
            }
            Some(Undoing::Ready) => self.undo_next(at, advance),
            Some(Undoing::Waiting { until }) if until <= at => self.undo_next(at, advance),
            Some(Undoing::Waiting { until }) => self.wake_at(until, advance),
            Some(Undoing::Running) => {}
            Some(Undoing::Failed) => self.finish(RunStatus::NeedsHuman, at, advance),
        }
    }

    fn undo_next(&mut self, at: DateTime<Utc>, advance: &mut Advance) {
        let Some(change) = self.next_undo() else { return self.finish(RunStatus::RolledBack, at, advance) };
        let step = self.spec(change.place).id.clone();
        let (place, tried) = (change.place, change.undo.last().map_or(0, |last| last.n));
        let event = RunEvent::UndoBegun { step, attempt: tried + 1 };
        self.record(at, Subject::Step(place), event, advance);
        self.repeat_undo(advance);
    }

    /// Nothing is undone twice by doing this again: an undo that finds nothing to do is no fault.
    pub(super) fn repeat_undo(&mut self, advance: &mut Advance) {
        let Some(change) = self.next_undo() else { return };
        let Some(last) = change.undo.last() else { return };
        let step = self.spec(change.place);
        let doer = match &change.maker {
            Maker::Agent(doer) => doer,
            Maker::Child(child) => {
                let (step, child) = (step.id.clone(), *child);
                return advance.effects.push(Effect::UndoChild { step, attempt: last.n, child });
            }
        };
        advance.effects.push(Effect::Undo {
            step: step.id.clone(),
            agent: doer.agent.clone(),
            tool: doer.tool.clone(),
            attempt: last.n,
            plan: Arc::clone(&change.plan),
            timeout: step.timeout,
        });
    }

    /// False: nobody waits for it.
    pub(super) fn undo_answered(
        &mut self,
        step: &StepId,
        attempt: u32,
        answer: Answer,
        at: DateTime<Utc>,
        advance: &mut Advance,
    ) -> bool {
        let awaited = self.next_undo().filter(|change| {
            self.undoing == Some(Undoing::Running)
                && self.spec(change.place).id == *step
                && change.undo.last().is_some_and(|last| last.n == attempt)
        });
        let Some(change) = awaited else { return false };
        let place = change.place;
        let agent = change.maker.doer().map_or_else(|| self.doer_name(place), |doer| doer.agent.as_str());
        let took = change.undo.last().map_or(0.0, |last| millis_between(last.started, at));
        let failed = |code: &str, detail: String| {
            StepResult::without_data(Status::Failed, Reason::new(code, agent, detail), took)
        };
        let mut earliest = Duration::ZERO;
        let result = match answer {
            Answer::Done(result) => result,
            Answer::Child(end) => self.child_undone(place, &end, took),
            Answer::NotDone { detail } => failed("agent_failed", detail),
            Answer::Lost { detail } => failed("outcome_unknown", detail),
            Answer::NoAnswer => failed("no_answer", format!("{agent} did not answer in time")),
            Answer::Refused { retry_after, detail } => {
                earliest = retry_after;
                failed("agent_unavailable", detail)
            }
        };
        // What a third party has changed since is not overwritten by trying again, and a child has tried itself.
        let is_final = result
            .output
            .reason
            .as_ref()
            .is_some_and(|reason| matches!(reason.code.as_str(), "changed_since" | NEEDS_HUMAN));
        let again = result.output.status != Status::Ok && !is_final && change.tries < MOST_TRIES;
        let wait = backoff::delay(&patience(), change.tries, backoff::share(self.id, step, attempt)).max(earliest);
        let event = RunEvent::UndoDone {
            step: step.clone(),
            attempt,
            result: Arc::new(result),
            retry_at: again.then(|| at + wait),
        };
        self.record(at, Subject::Step(place), event, advance);
        true
    }

    /// False: there is nothing to undo, or it is being undone.
    pub(super) fn undo_wanted(&mut self, by: String, at: DateTime<Utc>, advance: &mut Advance) -> bool {
        if self.is_finished() {
            if !self.has_changes() {
                return false;
            }
            self.record(at, Subject::Run, RunEvent::RollbackBegun { by: Some(by) }, advance);
            return true;
        }
        if self.stopping.is_some() || self.undoing.is_some() {
            return false;
        }
        self.stop(RunEvent::Cancelled { by, undo: true }, at, advance);
        true
    }

    /// False: the run has not ended, or all of it succeeded, or it was undone.
    pub(super) fn retry_wanted(&mut self, by: String, at: DateTime<Utc>, advance: &mut Advance) -> bool {
        let ended = matches!(self.status, RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut);
        let steps: Vec<StepId> =
            self.steps().filter(|(_, state)| !state.is_satisfied()).map(|(step, _)| step.id.clone()).collect();
        if !ended || steps.is_empty() {
            return false;
        }
        self.record(at, Subject::Run, RunEvent::Retried { by, steps }, advance);
        true
    }
}

/// Between two tries to undo.
fn patience() -> Retry {
    Retry {
        max_attempts: MOST_TRIES,
        initial: Duration::from_secs(1),
        factor: 2.0,
        max: Duration::from_secs(60),
        jitter: Jitter::Full,
        not_on: Vec::new(),
    }
}
