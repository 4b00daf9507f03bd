//! From the journal to the state it leads to: each event is checked to fit before it moves the run.
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use crate::ids::RunId;
use crate::ids::StepId;
use crate::workflow::event::RunEvent;
use crate::workflow::plan::Plan;
use crate::workflow::run::Run;
use crate::workflow::status::Hold;
use crate::workflow::status::RunStatus;
use crate::workflow::step_run::Phase;
use crate::workflow::step_run::StepRun;

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
            Some((at, RunEvent::Accepted { plan, by, parent })) => Run { parent, ..Run::born(run, plan, by, at) },
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
        state.gathered.retain(|place| steps[*place].phase == Phase::Spread);
        Ok(state)
    }

    /// Moves a run that only looks on: its twin has decided upon the event, which therefore fits.
    pub fn follow(&mut self, at: DateTime<Utc>, event: &RunEvent) {
        let place = event.step().and_then(|step| self.place(step));
        self.apply(at, place.map_or(Subject::Run, Subject::Step), event);
        // It begins nothing itself.
        self.ready.clear();
        self.doomed.clear();
        self.gathered.clear();
    }

    /// A run that was accepted, and no more.
    pub(super) fn born(id: RunId, plan: Plan, by: String, at: DateTime<Utc>) -> Self {
        let steps: Vec<_> = plan.graph().needs.iter().map(|needs| StepRun::new(needs.len())).collect();
        Run {
            id,
            by,
            parent: None,
            accepted: at,
            deadline: at + plan.timeout(),
            status: RunStatus::Running,
            open: steps.len(),
            ready: steps.iter().enumerate().filter(|(_, step)| step.unmet == 0).map(|(place, _)| place).collect(),
            steps,
            items: Vec::new(),
            gathered: VecDeque::new(),
            counts: Default::default(),
            running: 0,
            doomed: VecDeque::new(),
            timers: BTreeSet::new(),
            stopping: None,
            held: 0,
            signals: BTreeMap::new(),
            changes: Vec::new(),
            undoing: None,
            paused_by: None,
            prev: None,
            finished: None,
            armed: None,
            weight: 0,
            seq: 1,
            audit_index: None,
            plan,
        }
    }

    /// Checks that an event from the journal can follow.
    fn subject_of(&self, event: &RunEvent) -> Result<Subject, ReplayError> {
        let (run, seq, kind) = (self.id, self.seq, event.kind());
        let misfit = ReplayError::Misfit { run, seq, kind };
        let reopens = matches!(event, RunEvent::RollbackBegun { .. } | RunEvent::Retried { .. });
        if self.is_finished() && !reopens {
            return Err(misfit);
        }
        let Some(id) = event.step() else {
            let fits = match event {
                RunEvent::Accepted { .. } => false,
                RunEvent::Finished { .. } | RunEvent::RollbackBegun { .. } => self.open == 0,
                RunEvent::Retried { steps, .. } => {
                    let settled = |id: &StepId| self.step(id).is_some_and(StepRun::is_settled);
                    self.is_finished() && steps.iter().all(settled)
                }
                RunEvent::Paused { .. } => self.stopping.is_none(),
                RunEvent::Resumed { .. } => self.paused_by.is_some(),
                _ => self.stopping.is_none(),
            };
            return if fits { Ok(Subject::Run) } else { Err(misfit) };
        };
        let place = self.place(id).ok_or_else(|| ReplayError::UnknownStep { run, seq, kind, step: id.clone() })?;
        let step = &self.steps[place];
        let fits = match event {
            RunEvent::StepStarted { attempt, child, .. } => {
                matches!(step.phase, Phase::Pending | Phase::Waiting { .. })
                    && step.unmet == 0
                    && *attempt == step.next_attempt()
                    && child.is_some() == self.spec(place).playbook().is_some()
                    && child.is_some() != self.doer(place).is_some()
            }
            RunEvent::StepChosen { .. } => {
                step.phase == Phase::Pending && step.unmet == 0 && self.doer(place).is_none()
            }
            RunEvent::AttemptLost { attempt, .. }
            | RunEvent::StepDeferred { attempt, .. }
            | RunEvent::OutcomeDeferred { attempt, .. }
            | RunEvent::ChangePlanned { attempt, .. } => step.phase == Phase::Running && step.is_at(*attempt),
            RunEvent::ChildEnded { attempt, .. } => self.waits_for_child(place) && step.is_at(*attempt),
            RunEvent::AttemptDone { attempt, .. } => {
                matches!(step.phase, Phase::Running | Phase::Held { .. }) && step.is_at(*attempt)
            }
            RunEvent::ChangeBegun { attempt, .. } | RunEvent::OutcomeSought { attempt, .. } => {
                !step.is_settled() && step.is_at(*attempt) && step.change.is_some()
            }
            RunEvent::StepSpread { .. } => step.phase == Phase::Pending && step.unmet == 0,
            RunEvent::Decided { .. } => step.held_on() == Some(Hold::Approval) && step.asked.is_some(),
            RunEvent::UndoBegun { .. } | RunEvent::UndoDone { .. } => {
                self.undoing.is_some() && self.next_undo().is_some_and(|change| change.place == place)
            }
            RunEvent::StepSkipped { .. } => step.phase == Phase::Pending,
            _ => !step.is_settled(),
        };
        if fits { Ok(Subject::Step(place)) } else { Err(misfit) }
    }
}
