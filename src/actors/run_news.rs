//! Tells watchers how runs stand: a short form, a few times a second at most, never ahead of the journal.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing::trace;

use crate::clock;
use crate::feed::channel::Channel;
use crate::messages::events::{Event, Publish};
use crate::messages::port::Port;
use crate::workflow::run::Run;
use crate::workflow::step::Step;
use crate::workflow::step_run::StepRun;

/// Changes of one run within this time are told as one.
const TOGETHER: Duration = Duration::from_millis(20);
/// The same while many runs change: eyes cannot follow them, and most end before they would be told of.
const TOGETHER_AMONG_MANY: Duration = Duration::from_millis(250);
/// So many runs with changes that are yet to be told are many.
const MANY: usize = 16;
/// Changes of different runs within this time are told together.
const GATHER: Duration = Duration::from_millis(5);
/// A run of more steps is shown by its counts alone.
const STEPS: usize = 60;
/// Between two tries to tell what was refused.
const AGAIN: Duration = Duration::from_millis(200);
/// Runs whose news may wait; watchers are shown no more runs than this.
const MOST_WAITING: usize = 100;

/// Shared by all runs.
#[derive(Clone)]
pub struct RunNews {
    feed: Port<Publish>,
    waiting: Arc<Mutex<Waiting>>,
    /// Runs that have changed and are about to tell it.
    changed: Arc<AtomicUsize>,
}

/// That a run has changed and tells it after this time.
pub struct Due {
    pub after: Duration,
    changed: Arc<AtomicUsize>,
}

impl Drop for Due {
    fn drop(&mut self) {
        self.changed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is to be told: the newest of each run, in the order of the changes.
#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// A task is about to tell it.
    is_pursued: bool,
}

impl RunNews {
    pub fn new(feed: Port<Publish>) -> Self {
        RunNews { feed, waiting: Arc::default(), changed: Arc::default() }
    }

    /// When a run that has just changed should tell how it stands. To be kept until it does, or has ended.
    pub fn due(&self) -> Due {
        let others = self.changed.fetch_add(1, Ordering::Relaxed);
        let after = if others < MANY { TOGETHER } else { TOGETHER_AMONG_MANY };
        Due { after, changed: Arc::clone(&self.changed) }
    }

    /// Tells soon how the run stands, together with others. What the hub refuses is told once it is back: no later
    /// change may ever come.
    pub fn tell(&self, run: &Run) {
        self.put(event(run));
    }

    fn put(&self, event: Event) {
        let mut waiting = self.waiting.lock();
        waiting.put(event);
        if !std::mem::replace(&mut waiting.is_pursued, true) {
            actix_rt::spawn(pursue(self.feed.clone(), Pursuit { waiting: Arc::downgrade(&self.waiting), done: false }));
        }
    }
}

impl Waiting {
    fn put(&mut self, event: Event) {
        self.events.retain(|older| older.id != event.id);
        self.events.push_back(event);
        if self.events.len() > MOST_WAITING {
            self.events.pop_front();
        }
    }

    /// False: it was refused, and still waits.
    fn told(&mut self, feed: &Port<Publish>) -> bool {
        if self.events.is_empty() {
            return true;
        }
        match feed.try_tell(Publish(self.events.iter().cloned().collect())) {
            Ok(()) => self.events.clear(),
            Err(refusal) => trace!("watchers are told of runs later: {refusal}"),
        }
        self.events.is_empty()
    }
}

/// The task that tells it, on the thread of whoever had news. When that thread is given up the next one takes over.
struct Pursuit {
    waiting: Weak<Mutex<Waiting>>,
    done: bool,
}

impl Drop for Pursuit {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.upgrade().filter(|_| !self.done) {
            waiting.lock().is_pursued = false;
        }
    }
}

/// Tries until all is told, or until there is nobody left whose news it is.
async fn pursue(feed: Port<Publish>, mut pursuit: Pursuit) {
    let mut pause = GATHER;
    loop {
        tokio::time::sleep(pause).await;
        let Some(waiting) = pursuit.waiting.upgrade() else { return };
        let mut waiting = waiting.lock();
        if waiting.told(&feed) {
            // Under the same lock: what comes next begins another pursuit.
            waiting.is_pursued = false;
            pursuit.done = true;
            return;
        }
        pause = AGAIN;
    }
}

fn event(run: &Run) -> Event {
    Event {
        channel: Channel::Workflows,
        id: run.id().to_string(),
        at: clock::wall(),
        value: Some(Arc::new(shown(run))),
    }
}

fn shown(run: &Run) -> Value {
    let step = |(place, (step, state)): (usize, (&Step, &StepRun))| {
        let last = state.attempts().last();
        let doer = run.doer(place);
        json!({
            "id": step.id, "agent": doer.map(|doer| &doer.agent), "tool": doer.map(|doer| &doer.tool),
            "task": step.task().map(|task| &task.text), "playbook": step.playbook().map(|(name, _)| name),
            "child": last.and_then(|last| last.child), "status": state.status().as_str(),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::mpsc;

    use super::*;
    use crate::messages::port::AskError;

    fn news_of(id: &str, status: &str) -> Event {
        let value = Some(json!({ "status": status }));
        Event { channel: Channel::Workflows, id: id.to_owned(), at: clock::wall(), value: value.map(Arc::new) }
    }

    #[actix::test]
    async fn the_end_of_a_run_is_told_once_the_hub_is_back_though_nothing_changes_any_more() {
        tokio::time::pause();
        let (told, mut hears) = mpsc::unbounded_channel();
        let refusals = AtomicU32::new(3);
        let feed = Port::answering(move |Publish(events): Publish| {
            if refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err(AskError::Overloaded);
            }
            told.send(events).expect("open");
            Ok(())
        });
        let news = RunNews::new(feed);
        for (run, status) in [("a", "running"), ("b", "succeeded"), ("a", "failed")] {
            news.put(news_of(run, status));
        }
        let events = hears.recv().await.expect("told");
        let told: Vec<(&str, &Value)> =
            events.iter().map(|event| (event.id.as_str(), event.value.as_deref().expect("a value"))).collect();
        let (b, a) = (json!({ "status": "succeeded" }), json!({ "status": "failed" }));
        assert_eq!(told, [("b", &b), ("a", &a)], "the newest of each run, once");
        assert!(news.waiting.lock().events.is_empty() && !news.waiting.lock().is_pursued);
    }

    #[test]
    fn a_few_runs_tell_their_changes_soon_and_many_less_often() {
        let news = RunNews::new(Port::answering(|_| Ok(())));
        let due: Vec<Due> = (0..MANY + 2).map(|_| news.due()).collect();
        assert!(due[..MANY].iter().all(|due| due.after == TOGETHER));
        assert!(due[MANY..].iter().all(|due| due.after == TOGETHER_AMONG_MANY));
        drop(due);
        assert_eq!(news.due().after, TOGETHER);
    }

    #[test]
    fn what_waits_does_not_grow_without_bound() {
        let mut waiting = Waiting::default();
        (0..MOST_WAITING + 5).for_each(|n| waiting.put(news_of(&n.to_string(), "failed")));
        assert_eq!(waiting.events.len(), MOST_WAITING);
        assert_eq!(waiting.events.front().map(|event| event.id.as_str()), Some("5"));
    }
}
