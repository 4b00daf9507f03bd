//! Looks at the service itself once a second: database, audit log, engine; and tells watchers of new audit entries.
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tracing::{debug, trace};

use crate::actors::context::Ctx;
use crate::actors::monitor::changes::Changes;
use crate::alerts::metric as m;
use crate::alerts::metric::Sample;
use crate::clock;
use crate::feed::channel::Channel;
use crate::messages::alerts::Observe;
use crate::messages::auditor::GetHead;
use crate::messages::events::{Event, Publish};
use crate::messages::orchestrator::{EngineStatus, GetEngineStatus};
use crate::messages::port::Port;
use crate::messages::store::{CountEntries, LoadEntries};
use crate::workflow::record::StoredEntry;

const WITHIN: Duration = Duration::from_millis(900);
/// Of a burst of entries watchers are shown the newest.
const MOST_ENTRIES: u64 = 200;

/// The ports of the monitor of the service.
#[derive(Clone)]
pub struct Doors {
    pub count: Port<CountEntries>,
    pub entries: Port<LoadEntries>,
    pub head: Port<GetHead>,
    pub engine: Port<GetEngineStatus>,
    pub observe: Port<Observe>,
    pub feed: Port<Publish>,
}

pub struct ServiceMonitor {
    interval: Duration,
    doors: Doors,
    changes: Changes,
    looking: bool,
    /// Entries before this one were shown.
    shown: Option<u64>,
}

/// What one look found; none: no answer.
struct Found {
    entries: Option<u64>,
    head: Option<u64>,
    engine: Option<EngineStatus>,
    new: Vec<StoredEntry>,
}

impl ServiceMonitor {
    pub fn new(interval: Duration, doors: Doors) -> Self {
        let changes = Changes::new(Channel::Service, doors.feed.clone());
        ServiceMonitor { interval, doors, changes, looking: false, shown: None }
    }

    fn look(&mut self, ctx: &mut Ctx<Self>) {
        if std::mem::replace(&mut self.looking, true) {
            return;
        }
        let looking = look(self.doors.clone(), self.shown);
        ctx.spawn(looking.into_actor(self).map(|found, monitor, _| {
            monitor.looking = false;
            monitor.tell(found);
        }));
    }

    fn tell(&mut self, found: Found) {
        let at = clock::wall();
        let flag = |down: bool| f64::from(u8::from(down));
        let mut samples = vec![
            Sample::new(m::DATABASE_DOWN, flag(found.entries.is_none())),
            Sample::new(m::TPM_DOWN, flag(found.head.is_none())),
        ];
        if let (Some(entries), Some(head)) = (found.entries, found.head) {
            samples.push(Sample::new(m::BACKLOG, entries.saturating_sub(head) as f64));
        }
        if let Some(engine) = &found.engine {
            samples.push(Sample::new(m::OPEN_RUNS, engine.open_runs as f64));
            samples.push(Sample::new(m::RUNNING_STEPS, engine.running_steps as f64));
        }
        let state = |up: bool| if up { "up" } else { "down" };
        let values = [
            ("database", json!({ "state": state(found.entries.is_some()), "entries": found.entries })),
            ("log", json!({ "state": state(found.head.is_some()), "head": found.head })),
            ("engine", engine_shape(found.engine.as_ref())),
        ];
        self.changes.publish(values.map(|(id, value)| (id.to_owned(), value)), at);
        self.tell_entries(found.new, at);
        if let Some(entries) = found.entries {
            self.shown = Some(entries);
        }
        if let Err(refusal) = self.doors.observe.try_tell(Observe { at, samples }) {
            debug!("a reading of the service is lost: {refusal}");
        }
    }

    fn tell_entries(&self, new: Vec<StoredEntry>, at: DateTime<Utc>) {
        let event = |entry: StoredEntry| {
            let mut value: Value = serde_json::from_slice(&entry.leaf).unwrap_or_default();
            value["index"] = json!(entry.index);
            Event { channel: Channel::Audit, id: String::new(), at, value: Some(value) }
        };
        let events: Vec<Event> = new.into_iter().map(event).collect();
        if !events.is_empty()
            && let Err(refusal) = self.doors.feed.try_tell(Publish(events))
        {
            trace!("watchers are not told of audit entries: {refusal}");
        }
    }
}

async fn look(doors: Doors, shown: Option<u64>) -> Found {
    let entries = doors.count.ask_within(CountEntries, WITHIN).await.ok().and_then(Result::ok);
    let head = doors.head.ask_within(GetHead, WITHIN).await.ok().and_then(Result::ok).map(|head| head.size);
    let engine = doors.engine.ask_within(GetEngineStatus, WITHIN).await.ok();
    let to = entries.unwrap_or_default();
    // The first look shows the end of the log.
    let from = shown.unwrap_or(to.saturating_sub(MOST_ENTRIES / 4)).max(to.saturating_sub(MOST_ENTRIES));
    let new = if from < to {
        doors.entries.ask_within(LoadEntries { from, to }, WITHIN).await.ok().and_then(Result::ok).unwrap_or_default()
    } else {
        Vec::new()
    };
    Found { entries, head, engine, new }
}

fn engine_shape(engine: Option<&EngineStatus>) -> Value {
    match engine {
        Some(engine) => {
            json!({ "state": "up", "open_runs": engine.open_runs, "running_steps": engine.running_steps })
        }
        None => json!({ "state": "down" }),
    }
}

impl Actor for ServiceMonitor {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        ctx.run_interval(self.interval, |monitor, ctx| monitor.look(ctx));
    }
}
