//! Looks at the service itself once a second: database, audit log, engine; and tells watchers of new audit entries.
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext};
use serde_json::{Value, json};
use tracing::debug;

use crate::actors::context::Ctx;
use crate::actors::monitor::changes::Changes;
use crate::actors::monitor::entries::NewEntries;
use crate::alerts::metric as m;
use crate::alerts::metric::Sample;
use crate::clock;
use crate::feed::channel::Channel;
use crate::messages::alerts::Observe;
use crate::messages::auditor::GetHead;
use crate::messages::events::Publish;
use crate::messages::orchestrator::{EngineStatus, GetEngineStatus};
use crate::messages::port::Port;
use crate::messages::store::CountEntries;

const WITHIN: Duration = Duration::from_millis(900);

/// The ports of the monitor of the service.
#[derive(Clone)]
pub struct Doors {
    pub count: Port<CountEntries>,
    pub entries: NewEntries,
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
}

/// What one look found; none: no answer.
struct Found {
    entries: Option<u64>,
    head: Option<u64>,
    engine: Option<EngineStatus>,
}

impl ServiceMonitor {
    pub fn new(interval: Duration, doors: Doors) -> Self {
        let changes = Changes::new(Channel::Service, doors.feed.clone());
        ServiceMonitor { interval, doors, changes, looking: false }
    }

    fn look(&mut self, ctx: &mut Ctx<Self>) {
        if std::mem::replace(&mut self.looking, true) {
            return;
        }
        let looking = look(self.doors.clone());
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
            samples.push(Sample::new(m::RUNS_IN_NEED, engine.in_need as f64));
        }
        let state = |up: bool| if up { "up" } else { "down" };
        let values = [
            ("database", json!({ "state": state(found.entries.is_some()), "entries": found.entries })),
            ("log", json!({ "state": state(found.head.is_some()), "head": found.head })),
            ("engine", engine_shape(found.engine.as_ref())),
        ];
        self.changes.publish(values.map(|(id, value)| (id.to_owned(), value)), at);
        if let Err(refusal) = self.doors.observe.try_tell(Observe { at, samples }) {
            debug!("a reading of the service is lost: {refusal}");
        }
    }
}

async fn look(doors: Doors) -> Found {
    let entries = doors.count.ask_within(CountEntries, WITHIN).await.ok().and_then(Result::ok);
    let head = doors.head.ask_within(GetHead, WITHIN).await.ok().and_then(Result::ok).map(|head| head.size);
    let engine = doors.engine.ask_within(GetEngineStatus, WITHIN).await.ok();
    if let Some(size) = entries {
        doors.entries.tell(size, clock::wall()).await;
    }
    Found { entries, head, engine }
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
