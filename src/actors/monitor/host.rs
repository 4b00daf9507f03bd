//! Reads the host and this process once a second. Lives on a thread of its own, since it reads files.
use std::path::PathBuf;
use std::time::Duration;

use actix::{Actor, AsyncContext};
use serde_json::json;
use tracing::debug;

use crate::actors::context::Ctx;
use crate::actors::monitor::changes::Changes;
use crate::clock;
use crate::feed::channel::Channel;
use crate::host::readings::Looker;
use crate::messages::alerts::Observe;
use crate::messages::events::Publish;
use crate::messages::port::Port;

pub struct HostMonitor {
    looker: Looker,
    interval: Duration,
    observe: Port<Observe>,
    changes: Changes,
}

impl HostMonitor {
    pub fn new(
        proc_root: PathBuf,
        data_dir: PathBuf,
        interval: Duration,
        observe: Port<Observe>,
        feed: Port<Publish>,
    ) -> Self {
        let changes = Changes::new(Channel::Host, feed);
        HostMonitor { looker: Looker::new(proc_root, data_dir), interval, observe, changes }
    }

    fn look(&mut self) {
        let at = clock::wall();
        let samples = self.looker.look(clock::now());
        let shown = |value: f64| json!({ "value": value, "at": at.timestamp_millis() });
        self.changes.publish(samples.iter().map(|sample| (sample.metric.to_owned(), shown(sample.value))), at);
        if let Err(refusal) = self.observe.try_tell(Observe { at, samples }) {
            debug!("a reading of the host is lost: {refusal}");
        }
    }
}

impl Actor for HostMonitor {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.look();
        ctx.run_interval(self.interval, |monitor, _| monitor.look());
    }
}
