//! Drives a run until there is nothing more to decide: begins what is ready or due, leaves out what cannot run, ends
//! what is out of time, and asks for the next wake-up.
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::StepId;
use crate::toolkit::change::Call;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Advance;
use crate::workflow::advance::Effect;
use crate::workflow::advance::STOP_GRACE;
use crate::workflow::child::inputs_of;
use crate::workflow::event::RunEvent;
use crate::workflow::expr::Scope;
use crate::workflow::plan::Mode;
use crate::workflow::plan::Plan;
use crate::workflow::replay::Subject;
use crate::workflow::run::Run;
use crate::workflow::status::SkipCause;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Step;
use crate::workflow::step::Work;
use crate::workflow::step_run::Phase;
use crate::workflow::template::size;

/// Inputs of steps that are begun in one go, in bytes: they are journalled together.
const MOST_AT_ONCE: usize = 4 << 20;
/// All values that a run holds may be so many times as large as one.
const MOST_VALUES: usize = 16;

impl Run {
    pub(super) fn drive(&mut self, at: DateTime<Utc>, advance: &mut Advance) {
        if self.stopping.is_none() && at >= self.deadline && self.open > 0 {
            self.stop(RunEvent::TimedOut, at, advance);
        }
        self.stop_if_failing(at, advance);
        while self.stopping.is_none() && self.paused_by.is_none() {
            if let Some(place) = self.doomed.pop_front() {
                self.leave_out(place, at, advance);
            } else if let Some(place) = self.gathered.pop_front() {
                self.gather(place, at, advance);
            } else if advance.weight > MOST_AT_ONCE {
                // What was begun is journalled first.
                self.armed = None;
                self.wake_at(at, advance);
                break;
            } else if let Some(place) = self.ready.pop_front() {
                self.begin(place, at, advance);
            } else if let Some((_, place)) = self.timers.first().copied().filter(|(due, _)| *due <= at) {
                self.begin(place, at, advance);
            } else {
                break;
            }
            self.stop_if_failing(at, advance);
        }
        if let Some(stopping) = self.stopping {
            let patience_is_over = at >= stopping.since + STOP_GRACE;
            self.sweep(patience_is_over, at, advance);
            while let Some(place) = self.gathered.pop_front() {
                self.gather(place, at, advance);
            }
        }
        if self.open == 0 {
            self.conclude(at, advance);
        } else {
            self.arm(at, advance);
        }
    }

    /// A step failed that takes back what the run has done: nothing is begun any more.
    fn stop_if_failing(&mut self, at: DateTime<Utc>, advance: &mut Advance) {
        if self.stopping.is_some()
            || self.undoing.is_some()
            || self.counts.failures() == 0
            || !self.plan.may_roll_back()
        {
            return;
        }
        let failed = self.steps().find(|(step, state)| state.status().is_failure() && self.plan.rolls_back(step));
        if let Some(by) = failed.map(|(step, _)| step.id.clone()) {
            self.stop(RunEvent::Failing { by }, at, advance);
        }
    }

    /// Ends the run before its time: nothing is begun any more, what runs is told to stop.
    pub(super) fn stop(&mut self, event: RunEvent, at: DateTime<Utc>, advance: &mut Advance) {
        self.record(at, Subject::Run, event, advance);
        for (step, state) in self.steps() {
            if let (Phase::Running, Some(last)) = (state.phase, state.attempts.last()) {
                advance.effects.push(Effect::Stop { step: step.id.clone(), attempt: last.n });
            }
        }
    }

    /// Settles the steps of a stopping run that nothing is awaited of.
    fn sweep(&mut self, patience_is_over: bool, at: DateTime<Utc>, advance: &mut Advance) {
        if self.open == self.running && !patience_is_over {
            return;
        }
        let reason = self.stop_reason();
        for place in 0..self.steps.len() {
            let id = self.spec(place).id.clone();
            let event = match self.steps[place].phase {
                Phase::Pending => {
                    RunEvent::StepSkipped { step: id, cause: SkipCause::RunEnded, detail: reason.detail.clone() }
                }
                Phase::Waiting { .. } => {
                    RunEvent::StepEnded { step: id, status: StepStatus::Cancelled, reason: reason.clone() }
                }
                Phase::Held { .. } => {
                    self.end_held(place, Status::Aborted, reason.clone(), at, advance);
                    continue;
                }
                // What may be changing the host is waited for: it could not be undone meanwhile. So is a child.
                Phase::Running if patience_is_over && !self.may_have_changed(place) && !self.waits_for_child(place) => {
                    let detail = format!("{} and {} did not stop in time", reason.detail, self.doer_name(place));
                    let reason = Reason::new(&reason.code, self.doer_name(place), detail);
                    RunEvent::StepEnded { step: id, status: StepStatus::Cancelled, reason }
                }
                Phase::Running | Phase::Spread | Phase::Settled(_) => continue,
            };
            self.record(at, Subject::Step(place), event, advance);
        }
    }

    fn leave_out(&mut self, place: usize, at: DateTime<Utc>, advance: &mut Advance) {
        let plan = self.plan.clone();
        let (step, state) = (&plan.steps()[place], &self.steps[place]);
        let Some((to_blame, blamed)) = state.blocked_by.and_then(|blamed| Some((plan.steps().get(blamed)?, blamed)))
        else {
            return;
        };
        let status = match self.steps[blamed].status() {
            StepStatus::TimedOut => "timed out",
            StepStatus::Denied => "was denied",
            StepStatus::Cancelled => "was cancelled",
            _ => "failed",
        };
        let detail = match plan.mode() {
            Mode::Dag | Mode::Parallel => format!("step `{}` {status}, and this step depends on it", to_blame.id),
            Mode::Sequential | Mode::Pipeline => {
                format!("step `{}` {status}, which ends a {} run", to_blame.id, plan.mode().as_str())
            }
        };
        let event = RunEvent::StepSkipped { step: step.id.clone(), cause: SkipCause::Needs, detail };
        self.record(at, Subject::Step(place), event, advance);
    }

    /// Begins an attempt, unless the step's condition says no; or goes on with a step whose time has come.
    fn begin(&mut self, place: usize, at: DateTime<Utc>, advance: &mut Advance) {
        let state = &self.steps[place];
        if state.choosing || matches!(state.phase, Phase::Running | Phase::Spread | Phase::Settled(_)) {
            return;
        }
        match (state.phase, &state.change) {
            (Phase::Held { on, .. }, _) => return self.time_is_up(place, on, at, advance),
            (_, Some(change)) if state.attempts.last().is_some_and(|last| state.is_at(last.n)) => {
                let sought = change.sought;
                return if sought { self.seek_outcome(place, at, advance) } else { self.carry_out(place, at, advance) };
            }
            _ => {}
        }
        let step = &self.kept(place);
        let subject = Subject::Step(place);
        let input = match self.prepare(place) {
            Ok(Prepared::Input(input)) => input,
            Ok(Prepared::Fresh(input, weight)) => {
                advance.weight += weight;
                input
            }
            Ok(Prepared::ConditionFalse(detail)) => {
                let event = RunEvent::StepSkipped { step: step.id.clone(), cause: SkipCause::When, detail };
                return self.record(at, subject, event, advance);
            }
            Err(reason) => {
                let event = RunEvent::StepEnded { step: step.id.clone(), status: StepStatus::Failed, reason };
                return self.record(at, subject, event, advance);
            }
        };
        if step.for_each.is_some() {
            return self.begin_spread(place, at, advance);
        }
        if matches!(step.work, Work::Sleep { .. } | Work::Signal { .. } | Work::Gate {}) {
            return self.hold(place, at, advance);
        }
        if step.playbook().is_some() {
            return match (&step.approve, &self.steps[place].asked) {
                (Some(approval), None) => self.ask_approval(place, approval, Some(input), None, at, advance),
                _ => self.begin_child(place, input, at, advance),
            };
        }
        let Some(doer) = self.doer(place).cloned() else { return self.choose(place, advance) };
        // A change is approved by its plan, anything else by its input.
        if let (Some(approval), None, false) = (&step.approve, &self.steps[place].asked, doer.facts.changes) {
            return self.ask_approval(place, approval, Some(input), None, at, advance);
        }
        let attempt = self.steps[place].next_attempt();
        let started = RunEvent::StepStarted { step: step.id.clone(), attempt, input: Arc::clone(&input), child: None };
        self.record(at, subject, started, advance);
        if self.steps[place].change.is_some() {
            return self.carry_out(place, at, advance);
        }
        advance.effects.push(Effect::Dispatch {
            step: step.id.clone(),
            agent: doer.agent,
            tool: doer.tool,
            attempt,
            input,
            call: if doer.facts.changes { Call::Plan } else { Call::Run },
            timeout: self.time_for(place, at),
        });
    }

    fn kept(&self, place: usize) -> Kept {
        if self.is_item(place) {
            Kept::Item(Box::new(self.spec(place).clone()))
        } else {
            Kept::Planned(self.plan.clone(), place)
        }
    }

    /// How long an attempt that begins now may take.
    pub(super) fn time_for(&self, place: usize, at: DateTime<Utc>) -> Duration {
        let step = self.spec(place);
        let deadline = self.steps[place].deadline;
        let until_deadline = deadline.map_or(step.timeout, |deadline| (deadline - at).to_std().unwrap_or_default());
        step.attempt_timeout.map_or(until_deadline, |longest| until_deadline.min(longest))
    }

    /// The step begins once the learner has said who does it. Nothing is journalled yet: after a crash it is asked again.
    fn choose(&mut self, place: usize, advance: &mut Advance) {
        self.steps[place].choosing = true;
        let step = self.spec(place);
        if let Some(task) = step.task() {
            let task = task.clone();
            advance.effects.push(Effect::Choose { step: step.id.clone(), task, timeout: step.timeout });
        }
    }

    fn prepare(&self, place: usize) -> Result<Prepared, Reason> {
        let (step, state) = (self.spec(place), &self.steps[place]);
        // Decided and rendered once: later attempts get what the first one got.
        let approved = state.asked.as_ref().and_then(|asked| asked.input.as_ref());
        if let Some(input) = approved.or(state.attempts.last().map(|attempt| &attempt.input)) {
            return Ok(Prepared::Input(Arc::clone(input)));
        }
        let scope = &ItemScope { run: self, item: state.item.as_deref() };
        if let Some(when) = &step.when
            && !when.is_true(scope).map_err(|error| Reason::new("expression", "when", error.to_string()))?
        {
            return Ok(Prepared::ConditionFalse(format!("`{}` is false", when.source())));
        }
        if step.for_each.is_some() {
            // Each of its items has one.
            return Ok(Prepared::Input(Arc::new(Value::Null)));
        }
        let input = match (&step.input, self.plan.mode(), &self.prev) {
            (Some(template), _, _) => {
                template.render(scope).map_err(|error| Reason::new("expression", "input", error.to_string()))?
            }
            (None, Mode::Pipeline, Some(prev)) if step.playbook().is_none() => Arc::new(prev.output.data.clone()),
            (None, _, _) => Arc::new(Value::Object(serde_json::Map::new())),
        };
        let input = step.playbook().map_or(input.clone(), |(_, plan)| Arc::new(inputs_of(plan, &input)));
        let (weight, most) = (size(&input), self.plan.max_value_bytes());
        if weight > most {
            return Err(Reason::new("too_large", "input", format!("the input is larger than {most} bytes")));
        }
        let most = most.saturating_mul(MOST_VALUES);
        if self.weight.saturating_add(weight) > most {
            let detail = format!("the inputs and results of the run are together larger than {most} bytes");
            return Err(Reason::new("too_large", "run", detail));
        }
        Ok(Prepared::Fresh(input, weight))
    }

    /// Asks to be woken for what is due next, unless that is already so.
    fn arm(&mut self, at: DateTime<Utc>, advance: &mut Advance) {
        let next = match self.stopping {
            // What is left after that is waited for without a limit.
            Some(stopping) if at >= stopping.since + STOP_GRACE => return,
            Some(stopping) => stopping.since + STOP_GRACE,
            // Nothing is begun while the run is paused, but its time goes on.
            None if self.paused_by.is_some() => self.deadline,
            None => self.timers.first().map_or(self.deadline, |(due, _)| self.deadline.min(*due)),
        };
        self.wake_at(next, advance);
    }

    pub(super) fn wake_at(&mut self, next: DateTime<Utc>, advance: &mut Advance) {
        if self.armed.is_none_or(|armed| next < armed) {
            self.armed = Some(next);
            advance.effects.push(Effect::Wake { at: next });
        }
    }
}

enum Prepared {
    Input(Arc<Value>),
    /// Rendered just now, and its size.
    Fresh(Arc<Value>, usize),
    ConditionFalse(String),
}

/// What the expressions of a step, or of one of its items, read.
struct ItemScope<'r> {
    run: &'r Run,
    item: Option<&'r Value>,
}

impl Scope for ItemScope<'_> {
    fn inputs(&self) -> &Value {
        self.run.inputs()
    }

    fn prev(&self) -> &Value {
        Scope::prev(self.run)
    }

    fn step(&self, id: &str) -> Option<(&'static str, &Value)> {
        Scope::step(self.run, id)
    }

    fn item(&self) -> &Value {
        self.item.unwrap_or(&Value::Null)
    }
}

/// A step's specification that outlives a change of the run.
enum Kept {
    Planned(Plan, usize),
    Item(Box<Step>),
}

impl Deref for Kept {
    type Target = Step;
    fn deref(&self) -> &Step {
        match self {
            Kept::Planned(plan, place) => &plan.steps()[*place],
            Kept::Item(step) => step,
        }
    }
}

impl Scope for Run {
    fn inputs(&self) -> &Value {
        self.plan.inputs()
    }

    fn prev(&self) -> &Value {
        self.prev.as_ref().map_or(&Value::Null, |prev| &prev.output.data)
    }

    fn step(&self, id: &str) -> Option<(&'static str, &Value)> {
        let state = self.step(&StepId::new(id).ok()?)?;
        Some((state.status().as_str(), state.output().map_or(&Value::Null, |output| &output.data)))
    }
}
