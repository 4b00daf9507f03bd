//! The hub: keeps what watchers may see, and decides what is sent to whom and when. Sources never wait for it.
//!
//! Sessions only carry: the hub numbers each batch with a ping, and what is not read holds back what comes after, so
//! that one who stops reading costs little and is dropped. A life of the hub that ends leaves the feed to the next one
//! (`legacy`), so that clients come back to the same epoch and miss nothing; what was on its way to it is lost.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Handler, Recipient, SpawnHandle};
use tracing::{debug, info};

use crate::actors::context::Ctx;
use crate::actors::legacy::{Held, Legacy};
use crate::clock;
use crate::feed::channel::Channel;
use crate::feed::protocol::{Close, FromClient, ProtocolProblem, Resume, ToClient, VERSION};
use crate::feed::state::Feed;
use crate::feed::watcher::{Batch, Watcher};
use crate::messages::events::Publish;
use crate::messages::hub::{Deliver, HasRead, Join, Leave, Said};

/// Between two looks at what is due to whom.
const TICK: Duration = Duration::from_millis(25);
/// Something is sent at least this often, so that a watcher knows how old its view is.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// For a watcher to say hello.
const HELLO: Duration = Duration::from_secs(5);

struct Session {
    to: Recipient<Deliver>,
    watcher: Watcher,
    joined: Instant,
    sent: Instant,
    /// What it saw before, once it has said hello.
    greeted: Option<Option<Resume>>,
}

pub struct Hub {
    held: Held,
    sessions: HashMap<u64, Session>,
    timer: Option<SpawnHandle>,
}

impl Hub {
    pub fn new(legacy: &Arc<Legacy>) -> Self {
        Hub { held: legacy.take(), sessions: HashMap::new(), timer: None }
    }

    fn pump(&mut self) {
        let now = clock::now();
        let feed = self.held.feed();
        self.sessions.retain(|number, session| match session.keep(feed, now) {
            Ok(()) => true,
            Err(close) => {
                info!(watcher = number, "watcher {number} is dropped: {}", close.reason());
                session.hand_over(Deliver::Close(close));
                false
            }
        });
    }

    fn said(&mut self, number: u64, text: &str) {
        let now = clock::now();
        let Some(session) = self.sessions.get_mut(&number) else { return };
        match serde_json::from_str::<FromClient>(text) {
            Ok(FromClient::Hello { v, resume }) if v == VERSION && session.greeted.is_none() => {
                session.greeted = Some(resume.filter(|resume| resume.epoch == self.held.feed().epoch()));
                let welcome = ToClient::Welcome {
                    v: VERSION,
                    epoch: self.held.feed().epoch(),
                    heartbeat_ms: HEARTBEAT.as_secs() * 1_000,
                    server_time: clock::wall(),
                    build: env!("CARGO_PKG_VERSION"),
                };
                session.say(&welcome, now);
            }
            Ok(FromClient::Sub { id, ch, rate_hz }) => match (Channel::parse(&ch), &session.greeted) {
                (Some(channel), Some(resume)) => {
                    let cursor = resume.as_ref().and_then(|resume| resume.seen.get(&ch).copied());
                    session.watcher.follow(channel, cursor, rate_hz);
                }
                (None, Some(_)) => {
                    let names: Vec<_> = Channel::ALL.into_iter().map(Channel::as_str).collect();
                    let detail = format!("there is no channel `{ch}`; the channels are {}", names.join(", "));
                    session.say(&problem(id, "Unknown channel", detail), now);
                }
                (_, None) => session.say(&problem(id, "No hello", "say hello first".to_owned()), now),
            },
            Ok(FromClient::Unsub { ch }) => {
                if let Some(channel) = Channel::parse(&ch) {
                    session.watcher.leave(channel);
                }
            }
            Ok(FromClient::Ack {}) => {}
            Ok(FromClient::Hello { .. }) => {
                let detail = format!("this service speaks version {VERSION}, and one hello is enough");
                session.say(&problem(0, "Wrong hello", detail), now);
            }
            Err(cause) => session.say(&problem(0, "Not a frame", cause.to_string()), now),
        }
        self.pump();
    }
}

fn problem(id: u64, title: &'static str, detail: String) -> ToClient<'static> {
    ToClient::Err { id, problem: ProtocolProblem { title, detail } }
}

impl Session {
    /// Sends what is due; the reason to drop it, if there is one.
    fn keep(&mut self, feed: &Feed, now: Instant) -> Result<(), Close> {
        if self.watcher.is_stuck(now) || !self.to.connected() {
            return Err(Close::Slow);
        }
        if self.greeted.is_none() && now.saturating_duration_since(self.joined) >= HELLO {
            return Err(Close::Protocol);
        }
        if let Some(batch) = self.watcher.next(feed, now) {
            self.deliver(batch, now);
        } else if now.saturating_duration_since(self.sent) >= HEARTBEAT && !self.watcher.has_unread() {
            self.say(&ToClient::Hb { ts: clock::wall().timestamp_millis() }, now);
        }
        Ok(())
    }

    fn say(&mut self, frame: &ToClient<'_>, now: Instant) {
        match serde_json::to_string(frame) {
            Ok(text) => {
                let bytes = text.len();
                let batch = self.watcher.sent(vec![text], bytes, now);
                self.deliver(batch, now);
            }
            Err(fault) => debug!("a frame cannot be written: {fault}"),
        }
    }

    fn deliver(&mut self, Batch { number, frames }: Batch, now: Instant) {
        self.sent = now;
        self.hand_over(Deliver::Batch { frames, ping: number });
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the bound is the watcher's: it is sent nothing while much is unread"
    )]
    fn hand_over(&self, deliver: Deliver) {
        self.to.do_send(deliver);
    }
}

impl Actor for Hub {
    type Context = Ctx<Self>;
}

impl Handler<Publish> for Hub {
    type Result = ();

    fn handle(&mut self, Publish(events): Publish, _: &mut Ctx<Self>) {
        let changed = self.held.change(|feed| {
            let mut changed = false;
            for event in events {
                changed |= feed.take(event.channel, &event.id, event.at, event.value.as_deref());
            }
            changed
        });
        if changed && !self.sessions.is_empty() {
            self.pump();
        }
    }
}

impl Handler<Join> for Hub {
    type Result = u64;

    fn handle(&mut self, Join { to }: Join, ctx: &mut Ctx<Self>) -> u64 {
        let (number, now) = (self.held.next_watcher(), clock::now());
        let session = Session { to, watcher: Watcher::default(), joined: now, sent: now, greeted: None };
        self.sessions.insert(number, session);
        if self.timer.is_none() {
            self.timer = Some(ctx.run_interval(TICK, |hub, ctx| {
                hub.pump();
                if hub.sessions.is_empty()
                    && let Some(timer) = hub.timer.take()
                {
                    ctx.cancel_future(timer);
                }
            }));
        }
        number
    }
}

impl Handler<Said> for Hub {
    type Result = ();

    fn handle(&mut self, Said { watcher, text }: Said, _: &mut Ctx<Self>) {
        self.said(watcher, &text);
    }
}

impl Handler<HasRead> for Hub {
    type Result = ();

    fn handle(&mut self, HasRead { watcher, batch }: HasRead, _: &mut Ctx<Self>) {
        if let Some(session) = self.sessions.get_mut(&watcher) {
            session.watcher.read(batch, clock::now());
        }
    }
}

impl Handler<Leave> for Hub {
    type Result = ();

    fn handle(&mut self, Leave { watcher }: Leave, _: &mut Ctx<Self>) {
        self.sessions.remove(&watcher);
    }
}
