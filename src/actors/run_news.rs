//! Tells watchers how runs stand: a short form, a few times a second at most, never ahead of the journal.
use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::trace;

use crate::clock;
use crate::feed::channel::Channel;
use crate::ids::RunId;
use crate::messages::events::{Event, Publish};
use crate::messages::port::Port;
use crate::workflow::run::{Run, StepRun};
use crate::workflow::step::Step;

/// Changes within this time are told together.
pub const TOGETHER: Duration = Duration::from_millis(20);
/// A run of more steps is shown by its counts alone.
const STEPS: usize = 60;

pub struct RunNews {
    feed: Port<Publish>,
    changed: HashSet<RunId>,
    ended: Vec<Event>,
    /// A telling is on its way.
    due: bool,
}

impl RunNews {
    pub fn new(feed: Port<Publish>) -> Self {
        RunNews { feed, changed: HashSet::new(), ended: Vec::new(), due: false }
    }

    /// The run changed. True: `tell` is to be called after [`TOGETHER`].
    pub fn changed(&mut self, run: RunId) -> bool {
        self.changed.insert(run);
        !std::mem::replace(&mut self.due, true)
    }

    /// The run ended, and will not be asked for again.
    pub fn ended(&mut self, run: &Run) {
        self.changed.remove(&run.id());
        self.ended.push(event(run));
    }

    pub fn tell<'r>(&mut self, find: impl Fn(RunId) -> Option<&'r Run>) {
        self.due = false;
        let mut events = std::mem::take(&mut self.ended);
        events.extend(self.changed.drain().filter_map(find).map(event));
        if !events.is_empty()
            && let Err(refusal) = self.feed.try_tell(Publish(events))
        {
            trace!("watchers are not told of runs: {refusal}");
        }
    }
}

fn event(run: &Run) -> Event {
    Event { channel: Channel::Workflows, id: run.id().to_string(), at: clock::wall(), value: Some(shown(run)) }
}

fn shown(run: &Run) -> Value {
    let step = |(place, (step, state)): (usize, (&Step, &StepRun))| {
        let last = state.attempts().last();
        let doer = run.doer(place);
        json!({
            "id": step.id, "agent": doer.map(|doer| &doer.agent), "tool": doer.map(|doer| &doer.tool),
            "task": step.task.as_ref().map(|task| &task.text), "status": state.status().as_str(),
            "started": state.attempts().first().map(|first| first.started),
            "duration_ms": last.and_then(|last| last.duration_ms()), "attempts": state.attempts().len(),
            "findings": state.findings().len(),
        })
    };
    let few = run.plan().steps().len() <= STEPS;
    let steps: Vec<Value> = if few { run.steps().enumerate().map(step).collect() } else { Vec::new() };
    json!({
        "name": run.plan().name(), "mode": run.plan().mode().as_str(), "status": run.status().as_str(),
        "by": run.by(), "accepted": run.accepted(), "finished": run.finished(),
        "success_rate": run.success_rate(), "coverage": run.coverage(),
        "execution_time_ms": run.execution_time_ms(), "paused_by": run.paused_by(),
        "step_count": run.plan().steps().len(), "running": run.running_steps(),
        "settled": run.steps().filter(|(_, state)| state.status().is_final()).count(), "steps": steps,
    })
}
