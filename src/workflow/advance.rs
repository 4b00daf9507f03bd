//! Decides what a run does next. `advance` moves the state in memory and answers with the events to journal in one
//! append and the effects to perform once that append is durable; it performs nothing itself.
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::AgentId;
use crate::ids::Digest;
use crate::ids::RunId;
use crate::ids::SignalName;
use crate::ids::StepId;
use crate::ids::ToolId;
use crate::toolkit::change::Call;
use crate::toolkit::output::Reason;
use crate::workflow::child::ChildEnd;
use crate::workflow::child::Parent;
use crate::workflow::event::RunEvent;
use crate::workflow::fork::Carried;
use crate::workflow::plan::Plan;
use crate::workflow::replay::Subject;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;
use crate::workflow::run::Undoing;
use crate::workflow::status::RunStatus;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Choice;
use crate::workflow::step::Task;
use crate::workflow::step_run::Phase;

/// How long a stopped attempt may take to end before it is settled without its result.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// After so many attempts of a step whose outcome nobody knows the step fails: it may be what ends its agent.
pub const MOST_LOST: u32 = 3;

/// What happened outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    Answer {
        step: StepId,
        attempt: u32,
        answer: Answer,
    },
    /// The learner answered an `Effect::Choose`; the error says why nobody was chosen.
    Chosen {
        step: StepId,
        choice: Result<Choice, String>,
    },
    /// The time of the last `Effect::Wake` has come.
    Wake,
    Cancel {
        by: String,
        /// Undo what was changed, whatever the document says.
        undo: bool,
    },
    Signal {
        name: SignalName,
        payload: Arc<Value>,
        by: String,
    },
    /// A decision about a step that waits for one; with a digest only about what has this digest.
    Decide {
        step: StepId,
        approved: bool,
        by: String,
        digest: Option<Digest>,
        comment: Option<String>,
    },
    /// The answer to an `Effect::Undo`.
    Undone {
        step: StepId,
        attempt: u32,
        answer: Answer,
    },
    /// Undo all that the run changed; a run that has not ended is ended first.
    Undo {
        by: String,
    },
    /// Do again what did not succeed in a run that has ended.
    Retry {
        by: String,
    },
    /// Begin nothing more; what runs goes on.
    Pause {
        by: String,
    },
    Resume {
        by: String,
    },
}

/// How the attempt that was dispatched came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Done(StepResult),
    /// The run that the attempt was has ended.
    Child(ChildEnd),
    /// Certainly not executed: the agent's door is shut or it has too much to do.
    Refused {
        retry_after: Duration,
        detail: String,
    },
    /// The agent itself failed while it worked.
    NotDone {
        detail: String,
    },
    /// No answer within the attempt's time and some grace.
    NoAnswer,
    /// The agent ended before it replied: outcome unknown.
    Lost {
        detail: String,
    },
}

/// Journal `events` as rows `first_seq ..` in one append; when it is durable, perform `effects` in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Advance {
    pub first_seq: u32,
    pub events: Vec<RunEvent>,
    pub effects: Vec<Effect>,
    /// The size of the inputs that were rendered.
    pub(super) weight: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Hand the attempt to the agent, and come back with an `Answer` in any case: `NoAnswer` soon after `timeout`.
    Dispatch {
        step: StepId,
        agent: AgentId,
        tool: ToolId,
        attempt: u32,
        input: Arc<Value>,
        call: Call,
        timeout: Duration,
    },
    /// Have the agent undo by this plan, and come back with `Trigger::Undone` in any case.
    Undo { step: StepId, agent: AgentId, tool: ToolId, attempt: u32, plan: Arc<Value>, timeout: Duration },
    /// Have this run begun, and come back with `Answer::Child` once it has ended. `again`: it may have been begun.
    RunChild { step: StepId, attempt: u32, child: RunId, plan: Plan, again: bool },
    /// Have all children that run wait, or go on.
    HoldChildren { hold: bool },
    /// Have this run undone, and come back with `Trigger::Undone` once it has ended.
    UndoChild { step: StepId, attempt: u32, child: RunId },
    /// Ask the learner who does this step, and come back with `Trigger::Chosen` in any case, within `timeout`.
    Choose { step: StepId, task: Task, timeout: Duration },
    /// Raise the cancel flag of a running attempt, or cancel the run that it is; its answer is still awaited.
    Stop { step: StepId, attempt: u32 },
    /// Come back with `Trigger::Wake` at this time. A run has one timer: this replaces the one before.
    Wake { at: DateTime<Utc> },
    /// The run has ended; its timer and attempts can be forgotten.
    Finished,
}

/// How a run begins.
#[derive(Debug, Clone)]
pub struct Acceptance {
    pub plan: Plan,
    /// Who asks for it.
    pub by: String,
    /// Steps that another run has done.
    pub carried: Vec<Carried>,
    /// Nothing is begun until it is resumed.
    pub paused_by: Option<String>,
    pub parent: Option<Parent>,
}

impl Run {
    /// Accepts a plan and begins with it.
    pub fn accept(id: RunId, plan: Plan, by: String, at: DateTime<Utc>) -> (Self, Advance) {
        Run::accept_as(id, Acceptance { plan, by, carried: Vec::new(), paused_by: None, parent: None }, at)
    }

    pub fn accept_as(id: RunId, acceptance: Acceptance, at: DateTime<Utc>) -> (Self, Advance) {
        let Acceptance { plan, by, carried, paused_by, parent } = acceptance;
        let accepted = RunEvent::Accepted { plan: plan.clone(), by: by.clone(), parent: parent.clone() };
        let mut run = Run { parent, ..Run::born(id, plan, by, at) };
        let mut advance = Advance { events: vec![accepted], ..Advance::default() };
        for Carried { step, status, result } in carried {
            if let Some(place) = run.place(&step) {
                run.record(at, Subject::Step(place), RunEvent::StepCarried { step, status, result }, &mut advance);
            }
        }
        if let Some(by) = paused_by {
            run.record(at, Subject::Run, RunEvent::Paused { by }, &mut advance);
        }
        run.drive(at, &mut advance);
        (run, advance)
    }

    /// Takes news in. An empty answer: the news changed nothing, such as the answer to an attempt long settled.
    pub fn advance(&mut self, trigger: Trigger, at: DateTime<Utc>) -> Advance {
        let mut advance = Advance { first_seq: self.seq, ..Advance::default() };
        let reopens = matches!(trigger, Trigger::Undo { .. } | Trigger::Retry { .. });
        if self.is_finished() && !reopens {
            return advance;
        }
        match trigger {
            Trigger::Answer { step, attempt, answer } => {
                let is_awaited = |place: &usize| {
                    let step = &self.steps[*place];
                    step.phase == Phase::Running && step.is_at(attempt)
                };
                match self.place(&step).filter(is_awaited) {
                    Some(place) => self.answered(place, attempt, answer, at, &mut advance),
                    None => return advance,
                }
            }
            Trigger::Undone { step, attempt, answer } => {
                if !self.undo_answered(&step, attempt, answer, at, &mut advance) {
                    return advance;
                }
            }
            Trigger::Signal { name, payload, by } => {
                if !self.signalled(name, payload, by, at, &mut advance) {
                    return advance;
                }
            }
            Trigger::Decide { step, approved, by, digest, comment } => {
                let decided = RunEvent::Decided { step: step.clone(), approved, by, digest, comment };
                match self.place(&step).filter(|place| self.may_decide(*place, digest, at)) {
                    Some(place) => self.decided(place, decided, at, &mut advance),
                    None => return advance,
                }
            }
            Trigger::Undo { by } => {
                if !self.undo_wanted(by, at, &mut advance) {
                    return advance;
                }
            }
            Trigger::Retry { by } => {
                if !self.retry_wanted(by, at, &mut advance) {
                    return advance;
                }
            }
            Trigger::Chosen { step, choice } => {
                let asked = |place: &usize| self.steps[*place].phase == Phase::Pending && self.steps[*place].choosing;
                match self.place(&step).filter(asked) {
                    Some(place) => self.chosen(place, choice, at, &mut advance),
                    None => return advance,
                }
            }
            Trigger::Wake => self.armed = None,
            Trigger::Cancel { by, undo } => {
                if self.stopping.is_some() || self.undoing.is_some() {
                    return advance;
                }
                self.stop(RunEvent::Cancelled { by, undo }, at, &mut advance);
            }
            Trigger::Pause { by } => {
                // Another one may pause it too: it then waits for the later one.
                if self.stopping.is_some() || self.undoing.is_some() || self.paused_by.as_ref() == Some(&by) {
                    return advance;
                }
                self.record(at, Subject::Run, RunEvent::Paused { by }, &mut advance);
                self.hold_children(&mut advance);
            }
            Trigger::Resume { by } => {
                // That its parent goes on concerns what waits for the parent.
                let is_parent = self.parent.as_ref().is_some_and(|parent| parent.name() == by);
                if self.paused_by.is_none() || (is_parent && self.paused_by.as_ref() != Some(&by)) {
                    return advance;
                }
                self.record(at, Subject::Run, RunEvent::Resumed { by }, &mut advance);
                self.hold_children(&mut advance);
            }
        }
        self.drive(at, &mut advance);
        advance
    }

    /// Says what to do after a replay: nobody knows how the attempts ended that were under way.
    pub fn resume(&mut self, at: DateTime<Utc>) -> Advance {
        let mut advance = Advance { first_seq: self.seq, ..Advance::default() };
        if self.is_finished() {
            return advance;
        }
        self.armed = None;
        let under_way: Vec<_> = (0..self.steps.len()).filter(|p| self.steps[*p].phase == Phase::Running).collect();
        for place in under_way {
            let detail = "the engine ended before the outcome of the attempt was recorded";
            if self.waits_for_child(place) {
                self.find_child_again(place, &mut advance);
            } else if self.may_have_changed(place) && self.stopping.is_none() {
                self.seek_outcome(place, at, &mut advance);
            } else {
                self.lose(place, detail.to_owned(), at, &mut advance);
            }
        }
        // Whether they were told, nobody knows.
        self.hold_children(&mut advance);
        if self.undoing == Some(Undoing::Running) {
            self.repeat_undo(&mut advance);
        }
        self.drive(at, &mut advance);
        advance
    }

    pub(super) fn record(&mut self, at: DateTime<Utc>, subject: Subject, event: RunEvent, advance: &mut Advance) {
        self.apply(at, subject, &event);
        advance.events.push(event);
    }

    fn chosen(&mut self, place: usize, choice: Result<Choice, String>, at: DateTime<Utc>, advance: &mut Advance) {
        let step = self.spec(place).id.clone();
        let event = match choice {
            Ok(choice) => {
                self.ready.push_front(place);
                RunEvent::StepChosen { step, choice: Arc::new(choice) }
            }
            Err(detail) => {
                let reason = Reason::new("no_agent_chosen", "learner", detail);
                RunEvent::StepEnded { step, status: StepStatus::Failed, reason }
            }
        };
        self.record(at, Subject::Step(place), event, advance);
    }

    pub(super) fn finish(&mut self, status: RunStatus, at: DateTime<Utc>, advance: &mut Advance) {
        let event = RunEvent::Finished {
            status,
            success_rate: self.success_rate(),
            coverage: self.coverage(),
            execution_time_ms: u64::try_from((at - self.accepted).num_milliseconds()).unwrap_or(0),
        };
        self.record(at, Subject::Run, event, advance);
        advance.effects.push(Effect::Finished);
    }

    pub(super) fn stop_reason(&self) -> Reason {
        match self.stopping.map(|stopping| stopping.into) {
            Some(RunStatus::TimedOut) => Reason::new("run_timed_out", "engine", "the run ran out of time"),
            Some(RunStatus::Failed) => {
                Reason::new("run_failed", "engine", "another step failed and the run is rolled back")
            }
            _ => Reason::new("run_cancelled", "engine", "the run was cancelled"),
        }
    }
}
