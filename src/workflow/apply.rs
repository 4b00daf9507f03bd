//! What each event does to the state of a run: the only code that moves it, live and in a replay.
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::ids::StepId;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::event::RunEvent;
use crate::workflow::plan::Mode;
use crate::workflow::plan::OnFailure;
use crate::workflow::replay::Subject;
use crate::workflow::result::StepResult;
use crate::workflow::run::Change;
use crate::workflow::run::Finish;
use crate::workflow::run::Maker;
use crate::workflow::run::Run;
use crate::workflow::run::Stopping;
use crate::workflow::run::Undoing;
use crate::workflow::status::Hold;
use crate::workflow::status::RunStatus;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Work;
use crate::workflow::step_run::Asked;
use crate::workflow::step_run::Attempt;
use crate::workflow::step_run::AttemptEnd;
use crate::workflow::step_run::Decision;
use crate::workflow::step_run::Note;
use crate::workflow::step_run::Phase;
use crate::workflow::step_run::PlannedChange;
use crate::workflow::step_run::StepRun;
use crate::workflow::template::size;

impl Run {
    /// Moves the state. The event fits: it was just decided upon, or checked.
    pub(super) fn apply(&mut self, at: DateTime<Utc>, subject: Subject, event: &RunEvent) {
        self.seq += 1;
        match subject {
            Subject::Run => self.apply_to_run(at, event),
            Subject::Step(place) => self.apply_to_step(at, place, event),
        }
    }

    fn apply_to_run(&mut self, at: DateTime<Utc>, event: &RunEvent) {
        match event {
            RunEvent::Cancelled { undo, .. } => self.stop_into(RunStatus::Cancelled, *undo, at),
            RunEvent::TimedOut => self.stop_into(RunStatus::TimedOut, false, at),
            RunEvent::Failing { .. } => self.stop_into(RunStatus::Failed, true, at),
            RunEvent::Signalled { name, payload, .. } => {
                self.signals.entry(name.clone()).or_default().push_back(payload.clone());
            }
            RunEvent::RollbackBegun { .. } => {
                self.go_on();
                self.finished = None;
                self.undoing = Some(Undoing::Ready);
                self.changes.iter_mut().for_each(|change| change.tries = 0);
            }
            RunEvent::Retried { steps, .. } => self.begin_again(at, steps),
            RunEvent::Paused { by } => {
                self.paused_by = Some(by.clone());
                self.status = RunStatus::Paused;
                self.armed = None;
            }
            RunEvent::Resumed { .. } => self.go_on(),
            RunEvent::Finished { status, execution_time_ms, .. } => {
                self.status = *status;
                self.finished = Some(Finish { at, execution_time_ms: *execution_time_ms });
                self.stopping = None;
                self.undoing = None;
                self.armed = None;
            }
            _ => {}
        }
    }

    fn go_on(&mut self) {
        self.paused_by = None;
        self.status = RunStatus::Running;
        self.armed = None;
    }

    fn stop_into(&mut self, status: RunStatus, undo: bool, at: DateTime<Utc>) {
        self.go_on();
        let undo = undo || self.plan.on_failure() == OnFailure::Rollback;
        self.stopping = Some(Stopping { since: at, into: status, undo });
        self.ready.clear();
        self.doomed.clear();
    }

    fn apply_to_step(&mut self, at: DateTime<Utc>, place: usize, event: &RunEvent) {
        match event {
            RunEvent::StepChosen { choice, .. } => {
                let step = &mut self.steps[place];
                step.chosen = Some(choice.clone());
                step.choosing = false;
            }
            RunEvent::StepStarted { attempt, input, child, .. } => {
                let timeout = self.spec(place).timeout;
                // A timer that fires late, a pause, or a restart takes nothing from the step.
                let late = match self.steps[place].phase {
                    Phase::Waiting { until } => (at - until).max(TimeDelta::zero()),
                    Phase::Pending | Phase::Running | Phase::Held { .. } | Phase::Spread | Phase::Settled(_) => {
                        TimeDelta::zero()
                    }
                };
                self.leave_phase(place);
                self.running += 1;
                let step = &mut self.steps[place];
                if step.attempts.is_empty() {
                    self.weight += size(input);
                }
                step.phase = Phase::Running;
                step.deadline = Some(step.deadline.map_or(at + timeout, |deadline| deadline + late));
                step.attempts.push(Attempt {
                    n: *attempt,
                    started: at,
                    input: input.clone(),
                    child: *child,
                    end: AttemptEnd::Running,
                });
                self.remember_child(place, *child);
            }
            RunEvent::ChildEnded { has_changes: false, .. } => self.forget_child(place),
            RunEvent::AttemptDone { result, retry_at, .. } => {
                let step = &mut self.steps[place];
                step.counted += 1;
                step.refusals = 0;
                self.weight += size(&result.output.data);
                if let Some(attempt) = step.attempts.last_mut() {
                    attempt.end = AttemptEnd::Done(result.clone());
                }
                match retry_at {
                    Some(until) => self.wait(place, *until),
                    None => self.settle(place, result.output.status.into(), None),
                }
            }
            RunEvent::AttemptLost { detail, again, .. } => {
                let step = &mut self.steps[place];
                step.lost += 1;
                step.refusals = 0;
                step.end_attempt_unknown(detail);
                if *again {
                    // The step did not use up its time by itself: it gets all of it again.
                    step.deadline = None;
                    self.wait(place, at);
                } else {
                    let status = if self.stopping.is_some() { StepStatus::Cancelled } else { StepStatus::Failed };
                    let reason = Reason::new("outcome_unknown", "engine", detail.as_str());
                    self.settle(place, status, Some(Note::Ended(reason)));
                }
            }
            RunEvent::StepDeferred { not_before, .. } => {
                self.forget_child(place);
                let step = &mut self.steps[place];
                step.attempts.pop();
                step.refusals += 1;
                self.wait(place, *not_before);
            }
            RunEvent::StepHeld { on, until, input, digest, .. } => {
                self.leave_phase(place);
                self.steps[place].phase = Phase::Held { on: *on, until: *until };
                self.timers.insert((*until, place));
                if *on != Hold::Time {
                    self.held += 1;
                }
                if *on == Hold::Approval {
                    let asked = Asked { at, until: *until, digest: *digest, input: input.clone(), decided: None };
                    self.steps[place].asked = Some(Box::new(asked));
                }
            }
            RunEvent::StepSpread { items, .. } => self.spread(place, items),
            RunEvent::Decided { approved, by, comment, .. } => {
                let decision = Decision { approved: *approved, by: by.clone(), at, comment: comment.clone() };
                if let Some(asked) = &mut self.steps[place].asked {
                    asked.decided = Some(decision);
                }
                // A gate is settled by the event that follows, like a step that was not approved.
                if *approved && self.spec(place).work != (Work::Gate {}) {
                    self.wait(place, at);
                }
            }
            RunEvent::StepGiven { result, .. } => {
                if let Work::Signal { name } = self.spec(place).work.clone()
                    && let Some(signals) = self.signals.get_mut(&name)
                {
                    signals.pop_front();
                }
                self.steps[place].given = Some(result.clone());
                self.settle(place, result.output.status.into(), None);
            }
            RunEvent::StepCarried { status, result, .. } => {
                self.ready.retain(|ready| *ready != place);
                self.steps[place].given = Some(result.clone());
                self.settle(place, *status, None);
            }
            RunEvent::ChangePlanned { planned, .. } => {
                let change = PlannedChange { planned: planned.clone(), sought: false };
                self.steps[place].change = Some(Box::new(change));
            }
            RunEvent::ChangeBegun { .. } => self.begin_change(at, place),
            RunEvent::OutcomeSought { .. } => {
                self.run_on(place);
                if let Some(change) = &mut self.steps[place].change {
                    change.sought = true;
                }
            }
            RunEvent::OutcomeDeferred { not_before, .. } => {
                self.steps[place].refusals += 1;
                self.wait(place, *not_before);
            }
            RunEvent::UndoBegun { attempt, .. } => {
                self.undoing = Some(Undoing::Running);
                if let Some(change) = self.changes.iter_mut().rfind(|change| !change.undone) {
                    change.tries += 1;
                    let input = change.plan.clone();
                    change.undo.push(Attempt {
                        n: *attempt,
                        started: at,
                        input,
                        child: None,
                        end: AttemptEnd::Running,
                    });
                }
            }
            RunEvent::UndoDone { result, retry_at, .. } => self.undone(place, result, *retry_at),
            RunEvent::StepSkipped { cause, detail, .. } => {
                let note = Note::Skipped { cause: *cause, detail: detail.clone() };
                self.settle(place, StepStatus::Skipped, Some(note));
            }
            RunEvent::StepEnded { status, reason, .. } => {
                if self.waits_for_child(place) {
                    self.forget_child(place);
                }
                self.steps[place].end_attempt_unknown(&reason.detail);
                self.settle(place, *status, Some(Note::Ended(reason.clone())));
            }
            _ => {}
        }
    }

    fn wait(&mut self, place: usize, until: DateTime<Utc>) {
        self.leave_phase(place);
        self.steps[place].phase = Phase::Waiting { until };
        self.timers.insert((until, place));
    }

    fn leave_phase(&mut self, place: usize) {
        match self.steps[place].phase {
            Phase::Running => self.running -= 1,
            Phase::Waiting { until } => {
                self.timers.remove(&(until, place));
            }
            Phase::Held { on, until } => {
                self.timers.remove(&(until, place));
                if on != Hold::Time {
                    self.held -= 1;
                }
            }
            Phase::Pending | Phase::Spread | Phase::Settled(_) => {}
        }
    }

    /// The attempt that was begun goes on.
    fn run_on(&mut self, place: usize) {
        self.leave_phase(place);
        self.running += 1;
        self.steps[place].phase = Phase::Running;
    }

    fn begin_change(&mut self, at: DateTime<Utc>, place: usize) {
        self.run_on(place);
        let step = &mut self.steps[place];
        // While a person thought about it the step's own time stood still.
        if let (Some(deadline), Some(asked)) = (&mut step.deadline, &step.asked)
            && step.attempts.last().is_some_and(|attempt| attempt.started <= asked.at)
        {
            *deadline += at - asked.at;
        }
        let Some(change) = &mut step.change else { return };
        change.sought = false;
        let plan = Arc::new(change.planned.plan.clone());
        let Some(doer) = self.doer(place).cloned() else { return };
        // One change with one plan is undone once, however often it was begun.
        self.changes.retain(|begun| begun.place != place || begun.undone || begun.plan != plan);
        let maker = Maker::Agent(doer);
        self.changes.push(Change { place, maker, plan, undo: Vec::new(), tries: 0, undone: false });
    }

    fn undone(&mut self, place: usize, result: &Arc<StepResult>, retry_at: Option<DateTime<Utc>>) {
        let Some(change) = self.changes.iter_mut().rfind(|change| !change.undone) else { return };
        if let Some(attempt) = change.undo.last_mut() {
            attempt.end = AttemptEnd::Done(result.clone());
        }
        change.undone = result.output.status == Status::Ok;
        self.undoing = Some(match retry_at {
            _ if change.undone => Undoing::Ready,
            Some(until) => Undoing::Waiting { until },
            None => Undoing::Failed,
        });
        let is_left = self.changes.iter().any(|change| change.place == place && !change.undone);
        let step = &mut self.steps[place];
        if !is_left && matches!(step.phase, Phase::Settled(status) if status.is_success()) {
            step.phase = Phase::Settled(StepStatus::Undone);
        }
    }

    /// Steps that ended are to be done again, as if they had not been begun; their attempts stay on record.
    fn begin_again(&mut self, at: DateTime<Utc>, steps: &[StepId]) {
        self.go_on();
        (self.finished, self.stopping) = (None, None);
        self.deadline = at + self.plan.timeout();
        let places: Vec<usize> = steps.iter().filter_map(|step| self.place(step)).collect();
        self.ready.clear();
        self.doomed.clear();
        self.gathered.clear();
        for place in &places {
            self.reset(*place);
        }
        let plan = self.plan.clone();
        for place in places {
            let unmet = match plan.graph().needs.get(place).filter(|_| self.steps[place].phase == Phase::Pending) {
                Some(needs) => needs.iter().filter(|need| !self.steps[**need].is_satisfied()).count(),
                None => continue,
            };
            self.steps[place].unmet = unmet;
            if unmet == 0 {
                self.ready.push_back(place);
            }
        }
        self.begin_items_again();
    }

    fn reset(&mut self, place: usize) {
        let Phase::Settled(status) = self.steps[place].phase else { return };
        self.open += 1;
        if !self.is_item(place) {
            self.counts.take(status);
        }
        let state = &mut self.steps[place];
        let (attempts, spread, item) = (std::mem::take(&mut state.attempts), state.spread.take(), state.item.take());
        // Those of its items that did well are not done again.
        let phase = if spread.is_some() { Phase::Spread } else { Phase::Pending };
        let audit_index = state.audit_index;
        *state = StepRun { phase, attempts, spread, item, audit_index, ..StepRun::new(0) };
    }

    /// A step has its final status: those that need it are a need nearer, or doomed.
    fn settle(&mut self, place: usize, status: StepStatus, note: Option<Note>) {
        self.leave_phase(place);
        let step = &mut self.steps[place];
        step.phase = Phase::Settled(status);
        step.note = note;
        let to_blame = step.blocked_by.unwrap_or(place);
        // What has no data of its own hands on what it was handed.
        let hands_on = matches!(self.spec(place).work, Work::Sleep { .. } | Work::Gate {});
        if status.is_success() && self.plan.mode() == Mode::Pipeline && !hands_on && !self.is_item(place) {
            self.prev = self.steps[place].result().cloned();
        }
        self.open -= 1;
        if self.is_item(place) {
            return self.item_settled(place);
        }
        self.counts.add(status);
        let satisfies = self.steps[place].is_satisfied();
        let plan = self.plan.clone();
        for dependent in &plan.graph().dependents[place] {
            let step = &mut self.steps[*dependent];
            step.unmet -= 1;
            if step.phase != Phase::Pending {
                continue;
            }
            if !satisfies && step.blocked_by.is_none() {
                step.blocked_by = Some(to_blame);
                if self.stopping.is_none() {
                    self.doomed.push_back(*dependent);
                }
            } else if step.unmet == 0 && step.blocked_by.is_none() && self.stopping.is_none() {
                self.ready.push_back(*dependent);
            }
        }
    }
}
