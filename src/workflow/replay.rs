//! Events move a run: the only code that does, live and when the journal is read again, so that both give one state.
use std::collections::BTreeSet;
use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use crate::ids::RunId;
use crate::ids::StepId;
use crate::toolkit::output::Reason;
use crate::workflow::event::RunEvent;
use crate::workflow::event::RunStatus;
use crate::workflow::event::SkipCause;
use crate::workflow::event::StepStatus;
use crate::workflow::plan::Mode;
use crate::workflow::plan::Plan;
use crate::workflow::run::Attempt;
use crate::workflow::run::AttemptEnd;
use crate::workflow::run::Finish;
use crate::workflow::run::Note;
use crate::workflow::run::Phase;
use crate::workflow::run::Run;
use crate::workflow::run::StepRun;
use crate::workflow::run::Stopping;

/// The journal of a run does not make sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("the journal of run {run} is empty")]
    Empty { run: RunId },
    #[error("the journal of run {run} begins with `{kind}` instead of `accepted`")]
    NotAccepted { run: RunId, kind: &'static str },
    #[error("event {seq} of run {run} (`{kind}`) names step `{step}`, which its plan does not have")]
    UnknownStep { run: RunId, seq: u32, kind: &'static str, step: StepId },
    #[error("event {seq} of run {run} (`{kind}`) does not fit the state that the events before it lead to")]
    Misfit { run: RunId, seq: u32, kind: &'static str },
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Run,
    Step(usize),
}

impl Run {
    /// The state that a journal leads to; events come with the times at which they were written.
    pub fn replay(
        run: RunId,
        events: impl IntoIterator<Item = (DateTime<Utc>, RunEvent)>,
    ) -> Result<Self, ReplayError> {
        let mut events = events.into_iter();
        let mut state = match events.next() {
            Some((at, RunEvent::Accepted { plan, by })) => Run::born(run, plan, by, at),
            Some((_, event)) => return Err(ReplayError::NotAccepted { run, kind: event.kind() }),
            None => return Err(ReplayError::Empty { run }),
        };
        for (at, event) in events {
            let subject = state.subject_of(&event)?;
            state.apply(at, subject, &event);
        }
        // What was begun or left out since it became ready is so no longer.
        let steps = &state.steps;
        state.ready.retain(|place| steps[*place].phase == Phase::Pending);
        state.doomed.retain(|place| steps[*place].phase == Phase::Pending);
        Ok(state)
    }

    /// Moves a run that only looks on: its twin has decided upon the event, which therefore fits.
    pub fn follow(&mut self, at: DateTime<Utc>, event: &RunEvent) {
        let place = event.step().and_then(|step| self.plan.place(step));
        self.apply(at, place.map_or(Subject::Run, Subject::Step), event);
        // It begins nothing itself.
        self.ready.clear();
        self.doomed.clear();
    }

    /// A run that was accepted, and no more.
    pub(super) fn born(id: RunId, plan: Plan, by: String, at: DateTime<Utc>) -> Self {
        let steps: Vec<_> = plan.graph().needs.iter().map(|needs| StepRun::new(needs.len())).collect();
        Run {
            id,
            by,
            accepted: at,
            deadline: at + plan.timeout(),
            status: RunStatus::Running,
            open: steps.len(),
            ready: steps.iter().enumerate().filter(|(_, step)| step.unmet == 0).map(|(place, _)| place).collect(),
            steps,
            counts: Default::default(),
            running: 0,
            doomed: VecDeque::new(),
            timers: BTreeSet::new(),
            stopping: None,
            paused_by: None,
            prev: None,
            finished: None,
            armed: None,
            seq: 1,
            audit_index: None,
            plan,
        }
    }

    /// Checks that an event from the journal can follow.
    fn subject_of(&self, event: &RunEvent) -> Result<Subject, ReplayError> {
        let (run, seq, kind) = (self.id, self.seq, event.kind());
        let misfit = ReplayError::Misfit { run, seq, kind };
        if self.is_finished() {
            return Err(misfit);
        }
        let Some(id) = event.step() else {
            let fits = match event {
                RunEvent::Accepted { .. } => false,
                RunEvent::Finished { .. } => self.open == 0,
                RunEvent::Paused { .. } => self.stopping.is_none(),
                RunEvent::Resumed { .. } => self.paused_by.is_some(),
                _ => self.stopping.is_none(),
            };
            return if fits { Ok(Subject::Run) } else { Err(misfit) };
        };
        let place = self.plan.place(id).ok_or_else(|| ReplayError::UnknownStep { run, seq, kind, step: id.clone() })?;
        let step = &self.steps[place];
        let fits = match event {
            RunEvent::StepStarted { attempt, .. } => {
                matches!(step.phase, Phase::Pending | Phase::Waiting { .. })
                    && step.unmet == 0
                    && *attempt == step.next_attempt()
                    && self.doer(place).is_some()
            }
            RunEvent::StepChosen { .. } => {
                step.phase == Phase::Pending && step.unmet == 0 && self.doer(place).is_none()
            }
            RunEvent::AttemptDone { attempt, .. }
            | RunEvent::AttemptLost { attempt, .. }
            | RunEvent::StepDeferred { attempt, .. } => {
                step.phase == Phase::Running && step.attempts.last().is_some_and(|last| last.n == *attempt)
            }
            RunEvent::StepSkipped { .. } => step.phase == Phase::Pending,
            _ => !step.is_settled(),
        };
        if fits { Ok(Subject::Step(place)) } else { Err(misfit) }
    }

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
            RunEvent::Cancelled { .. } => self.stop_into(RunStatus::Cancelled, at),
            RunEvent::TimedOut => self.stop_into(RunStatus::TimedOut, at),
            RunEvent::Paused { by } => {
                self.paused_by = Some(by.clone());
                self.status = RunStatus::Paused;
                self.armed = None;
            }
            RunEvent::Resumed { .. } => self.go_on(),
            RunEvent::Finished { status, execution_time_ms, .. } => {
                self.status = *status;
                self.finished = Some(Finish { at, execution_time_ms: *execution_time_ms });
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

    fn stop_into(&mut self, status: RunStatus, at: DateTime<Utc>) {
        self.go_on();
        self.stopping = Some(Stopping { since: at, into: status });
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
            RunEvent::StepStarted { attempt, input, .. } => {
                let timeout = self.plan.steps()[place].timeout;
                // A timer that fires late, a pause, or a restart takes nothing from the step.
                let late = match self.steps[place].phase {
                    Phase::Waiting { until } => (at - until).max(TimeDelta::zero()),
                    Phase::Pending | Phase::Running | Phase::Settled(_) => TimeDelta::zero(),
                };
                self.leave_phase(place);
                self.running += 1;
                let step = &mut self.steps[place];
                step.phase = Phase::Running;
                step.deadline = Some(step.deadline.map_or(at + timeout, |deadline| deadline + late));
                step.attempts.push(Attempt {
                    n: *attempt,
                    started: at,
                    input: input.clone(),
                    end: AttemptEnd::Running,
                });
            }
            RunEvent::AttemptDone { result, retry_at, .. } => {
                let step = &mut self.steps[place];
                step.counted += 1;
                step.refusals = 0;
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
                let step = &mut self.steps[place];
                step.attempts.pop();
                step.refusals += 1;
                self.wait(place, *not_before);
            }
            RunEvent::StepSkipped { cause, detail, .. } => {
                let note = Note::Skipped { cause: *cause, detail: detail.clone() };
                self.settle(place, StepStatus::Skipped, Some(note));
            }
            RunEvent::StepEnded { status, reason, .. } => {
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
            Phase::Pending | Phase::Settled(_) => {}
        }
    }

    /// A step has its final status: those that need it are a need nearer, or doomed.
    fn settle(&mut self, place: usize, status: StepStatus, note: Option<Note>) {
        self.leave_phase(place);
        let skipped_by_condition = matches!(note, Some(Note::Skipped { cause: SkipCause::When, .. }));
        let step = &mut self.steps[place];
        step.phase = Phase::Settled(status);
        step.note = note;
        let to_blame = step.blocked_by.unwrap_or(place);
        if status.is_success() && self.plan.mode() == Mode::Pipeline {
            self.prev = self.steps[place].result().cloned();
        }
        self.counts.add(status);
        self.open -= 1;
        let satisfies = status.is_success() || status == StepStatus::Unavailable || skipped_by_condition;
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

impl StepRun {
    /// The number of the attempt that comes next.
    pub(super) fn next_attempt(&self) -> u32 {
        self.attempts.last().map_or(1, |last| last.n + 1)
    }

    fn end_attempt_unknown(&mut self, detail: &str) {
        if let Some(attempt) = self.attempts.last_mut().filter(|attempt| attempt.end == AttemptEnd::Running) {
            attempt.end = AttemptEnd::Lost { detail: detail.to_owned() };
        }
    }
}
