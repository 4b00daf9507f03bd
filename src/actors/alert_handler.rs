//! Turns readings into alerts: asks the book, has what changed signed, stored, shown and posted, and says what is
//! called for.
//!
//! It goes on without the database: what it could not store waits in order behind its channel.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Handler, MessageResult};
use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::{info, trace, warn};

use crate::actors::alert_archive::Archive;
use crate::actors::context::Ctx;
use crate::alerts::book::{Ack, Alert, Book, Change, Moment, STALE, State, What};
use crate::alerts::metric::Sample;
use crate::alerts::rule::Rule;
use crate::clock;
use crate::feed::channel::Channel;
use crate::messages::alerts::{Acknowledge, Called, GetAlerts, GetReadings, Observe, Readings};
use crate::messages::events::{Event, Publish};
use crate::messages::port::Port;

/// Readings of five minutes, one a second.
const HISTORY: usize = 300;
/// Before the database is there alerts that fired before the start are unknown; it is waited for this long. They are
/// taken up later if it comes later.
const PATIENCE: Duration = Duration::from_secs(10);
/// Changes that wait to be signed and stored.
const QUEUE: usize = 4_096;

/// The ports of the alert handler.
#[derive(Clone)]
pub struct Doors {
    pub archive: Archive,
    pub feed: Port<Publish>,
    pub recovery: Port<Called>,
}

pub struct AlertHandler {
    book: Book,
    doors: Doors,
    /// None until what fired before the start is known, or the wait for it is over.
    archive: Option<mpsc::Sender<Change>>,
    newest: BTreeMap<(&'static str, Option<String>), (f64, Instant)>,
    history: BTreeMap<&'static str, VecDeque<(DateTime<Utc>, f64)>>,
}

impl AlertHandler {
    pub fn new(rules: Vec<Rule>, doors: Doors) -> Self {
        AlertHandler { book: Book::new(rules), doors, archive: None, newest: BTreeMap::new(), history: BTreeMap::new() }
    }

    fn begin(&mut self) {
        if self.archive.is_none() {
            let (archive, changes) = mpsc::channel(QUEUE);
            actix_rt::spawn(self.doors.archive.clone().run(changes));
            self.archive = Some(archive);
        }
    }

    /// What fired before the start.
    fn take_up(&mut self, firing: Vec<Alert>) {
        self.begin();
        let count = firing.len();
        let ended = self.book.restore(firing, moment());
        if count > 0 {
            info!("{count} alerts fired before the start");
        }
        let taken_up: Vec<Event> = self.book.alerts().map(|alert| shown(alert, clock::wall())).collect();
        self.publish(taken_up);
        self.changed(ended);
        self.look_again();
    }

    /// What was read before there was a book to put it in counts.
    fn look_again(&mut self) {
        let samples = self.readings();
        let changes = self.book.observe(&samples, moment());
        self.changed(changes);
    }

    /// The newest reading of each metric, unless it is old: then nobody knows how things are.
    fn readings(&self) -> Vec<Sample> {
        let now = clock::now();
        let fresh = self.newest.iter().filter(|(_, (_, at))| now.saturating_duration_since(*at) <= STALE);
        fresh.map(|((metric, of), (value, _))| Sample { metric, of: of.clone(), value: *value }).collect()
    }

    fn changed(&mut self, changes: Vec<Change>) {
        let at = clock::wall();
        for change in changes {
            let Change { what, alert } = &change;
            match what {
                What::Raised => {
                    warn!(alert = alert.rule, value = alert.value, "alert {}: {}", alert.rule, alert.summary)
                }
                What::Resolved => info!(alert = alert.rule, value = alert.value, "alert {} is resolved", alert.rule),
                What::Pending | What::Forgotten | What::Acknowledged | What::Dropped | What::Superseded => {}
            }
            let mut events = vec![shown(alert, at)];
            match what {
                // The one that has taken its place is shown.
                What::Superseded => events.clear(),
                What::Forgotten | What::Dropped => events[0].value = None,
                What::Pending | What::Raised | What::Resolved | What::Acknowledged => {}
            }
            if matches!(what, What::Raised | What::Resolved | What::Acknowledged) {
                let value = json!({ "kind": "alert", "what": word(*what), "subject": alert.rule, "detail": alert.summary,
                    "severity": alert.severity, "at": at });
                events.push(Event { channel: Channel::Events, id: String::new(), at, value: Some(Arc::new(value)) });
            }
            if matches!(what, What::Raised | What::Resolved | What::Acknowledged | What::Superseded) {
                let kept = self.archive.as_ref().is_some_and(|archive| archive.try_send(change.clone()).is_ok());
                if !kept {
                    warn!(alert = alert.rule, "too many changes of alerts wait: one of {} is not recorded", alert.rule);
                }
            }
            self.publish(events);
        }
    }

    fn publish(&self, events: Vec<Event>) {
        if let Err(refusal) = self.doors.feed.try_tell(Publish(events)) {
            trace!("watchers are not told of alerts: {refusal}");
        }
    }

    fn keep(&mut self, at: DateTime<Utc>, samples: &[Sample]) {
        let now = clock::now();
        for sample in samples {
            self.newest.insert((sample.metric, sample.of.clone()), (sample.value, now));
            if sample.of.is_none() {
                let series = self.history.entry(sample.metric).or_default();
                if series.len() == HISTORY {
                    series.pop_front();
                }
                series.push_back((at, sample.value));
            }
        }
    }
}

fn shown(alert: &Alert, at: DateTime<Utc>) -> Event {
    let value = serde_json::to_value(alert).ok();
    Event { channel: Channel::Alerts, id: alert.fingerprint.clone(), at, value: value.map(Arc::new) }
}

fn word(what: What) -> &'static str {
    match what {
        What::Raised => "firing",
        What::Resolved => "resolved",
        What::Acknowledged => "acknowledged",
        What::Pending => "pending",
        What::Forgotten | What::Dropped | What::Superseded => "gone",
    }
}

fn moment() -> Moment {
    Moment { mono: clock::now(), wall: clock::wall() }
}

impl Actor for AlertHandler {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let reading = self.doors.archive.clone().firing();
        ctx.spawn(reading.into_actor(self).map(|firing, handler, _| handler.take_up(firing)));
        ctx.run_later(PATIENCE, |handler, _| {
            if handler.archive.is_none() {
                warn!("the database does not tell yet which alerts fired before the start; those may be raised anew");
                handler.begin();
                handler.look_again();
            }
        });
    }
}

impl Handler<Observe> for AlertHandler {
    type Result = ();

    fn handle(&mut self, Observe { at, samples }: Observe, _: &mut Ctx<Self>) {
        self.keep(at, &samples);
        if self.archive.is_none() {
            return;
        }
        let changes = self.book.observe(&samples, moment());
        self.changed(changes);
        // All of them each time: their readings move, and the hub may be a new one. It sends on what is new.
        let standing: Vec<Event> = self.book.alerts().map(|alert| shown(alert, at)).collect();
        if !standing.is_empty() {
            self.publish(standing);
        }
        let called = self.book.called_for().map(|(action, alert)| (action, alert.rule.clone())).collect();
        if let Err(refusal) = self.doors.recovery.try_tell(Called(called)) {
            trace!("the recovery manager is not told: {refusal}");
        }
    }
}

impl Handler<GetAlerts> for AlertHandler {
    type Result = Vec<Alert>;

    fn handle(&mut self, GetAlerts: GetAlerts, _: &mut Ctx<Self>) -> Vec<Alert> {
        let mut alerts: Vec<Alert> = self.book.alerts().cloned().collect();
        let rank = |state: State| match state {
            State::Firing => 0,
            State::Pending => 1,
            State::Resolved => 2,
        };
        alerts.sort_by_key(|alert| (rank(alert.state), std::cmp::Reverse(alert.severity), alert.since));
        alerts
    }
}

impl Handler<Acknowledge> for AlertHandler {
    type Result = MessageResult<Acknowledge>;

    fn handle(&mut self, Acknowledge { fingerprint, by, comment }: Acknowledge, _: &mut Ctx<Self>) -> Self::Result {
        let change = self.book.acknowledge(&fingerprint, Ack { by, comment, at: clock::wall() });
        let alert = change.as_ref().map(|change| change.alert.clone());
        self.changed(change.into_iter().collect());
        MessageResult(alert)
    }
}

impl Handler<GetReadings> for AlertHandler {
    type Result = MessageResult<GetReadings>;

    fn handle(&mut self, GetReadings: GetReadings, _: &mut Ctx<Self>) -> Self::Result {
        let series = |series: &VecDeque<_>| Arc::new(series.iter().copied().collect());
        MessageResult(Readings {
            newest: self.readings(),
            history: self.history.iter().map(|(metric, values)| (*metric, series(values))).collect(),
        })
    }
}
