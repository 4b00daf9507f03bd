//! One child as its supervisor sees it: the kid, its breaker, its clocks.
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::actors::child::ChildSpec;
use crate::actors::child::Kid;
use crate::actors::child::Station;
use crate::actors::home::Home;
use crate::actors::home::HomeError;
use crate::actors::incarnation::Order;
use crate::actors::life::Exit;
use crate::actors::life::Life;
use crate::actors::life::Line;
use crate::actors::root::Tree;
use crate::actors::seats::Seat;
use crate::messages::supervision::BreakerView;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;
use crate::messages::supervision::{Fault, Intervened};
use crate::resilience::backoff::Backoff;
use crate::resilience::breaker::Breaker;
use crate::resilience::breaker::State;
use crate::resilience::busy::Busy;

/// How long a killed child may take to end before it is left behind.
const KILL_WAIT: Duration = Duration::from_millis(100);

pub(super) struct Entry {
    pub name: String,
    pub path: String,
    pub kid: Box<dyn Kid>,
    /// Of a child that came at run time.
    pub seat: Option<Arc<Seat>>,
    pub breaker: Option<Breaker>,
    /// The present life, until its end is known.
    pub life: Option<Arc<Life>>,
    pub started: Instant,
    /// Of its home, when it was started.
    pub generation: u64,
    /// Failures without a long healthy life between them.
    pub failures: u32,
    pub last_exit: Option<String>,
    pub busy: Busy,
    /// An operator has ordered the end of the present life.
    pub recalled: bool,
    /// When it must be ready, or must have stopped.
    pub kill_at: Option<Instant>,
    /// Why it was killed, and when it is left behind if it does not end.
    pub sentence: Option<(String, Instant)>,
}

impl Entry {
    pub fn new(spec: &ChildSpec, above: &str, supervisors: &Arc<Home>, now: Instant) -> Self {
        Entry {
            name: spec.name.clone(),
            path: format!("{above}/{}", spec.name),
            kid: Arc::clone(&spec.recipe).prepare(supervisors),
            seat: None,
            breaker: spec.breaker.clone().map(Breaker::new),
            life: None,
            started: now,
            generation: 0,
            failures: 0,
            last_exit: None,
            busy: Busy::default(),
            recalled: false,
            kill_at: None,
            sentence: None,
        }
    }

    /// Begins a life.
    pub fn start(&mut self, index: usize, tree: &Arc<Tree>, line: &Line, now: Instant) -> Result<(), HomeError> {
        self.kid.home().map_or(Ok(()), |home| home.check())?;
        let (path, seat) = (self.path.clone(), self.seat.clone());
        let station = Station { index, path, tree: Arc::clone(tree), line: line.clone(), seat };
        self.life = Some(self.kid.start(station)?);
        self.started = now;
        self.generation = self.home_generation();
        self.kill_at = None;
        self.sentence = None;
        self.recalled = false;
        Ok(())
    }

    /// Whether the present life is the one with this number.
    pub fn is_in_life(&self, epoch: u64) -> bool {
        self.life.as_ref().is_some_and(|life| life.epoch == epoch)
    }

    /// Has it stop within its grace, and before a shutdown's deadline if there is one.
    pub fn tell_to_stop(&mut self, grace: Option<Duration>, by: Option<Instant>, now: Instant) {
        // a supervisor below ends when its children have, each in its own grace
        self.kill_at = grace.map(|grace| now + grace).map(|at| by.map_or(at, |by| by.min(at)));
        self.kid.order(Order::Stop(by));
    }

    /// Forgets the present life; what still comes from it is not listened to.
    pub fn bury(&mut self) {
        self.life = None;
        self.kill_at = None;
        self.sentence = None;
        self.recalled = false;
        self.kid.bury();
    }

    /// Ends the present life at once; whatever it still does does not count.
    pub fn kill(&mut self, reason: &str, now: Instant) {
        self.kill_at = None;
        self.sentence = Some((reason.to_owned(), now + KILL_WAIT));
        if let Some(life) = &self.life {
            life.fence();
        }
        self.kid.order(Order::Kill(reason.to_owned()));
    }

    /// A request was not answered within the deadline.
    pub fn hung(&mut self, now: Instant) {
        if self.sentence.is_none() {
            self.kill("a request was not answered within the deadline", now);
            self.kid.shut(None, ChildState::Restarting, "restarting");
        }
    }

    /// Kills what was not ready, or has not stopped, when it had to.
    pub fn kill_if_late(&mut self, starting: bool, now: Instant) {
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill(if starting { "was not ready in time" } else { "did not stop in time" }, now);
        }
    }

    /// Why it was killed, once it should have ended of that.
    pub fn is_to_be_left_behind(&mut self, now: Instant) -> Option<String> {
        self.sentence.take_if(|(_, at)| *at <= now).map(|(reason, _)| reason)
    }

    /// Why it must be left behind, if it keeps its thread for longer than it may.
    pub fn stalled(&self, limit: Option<Duration>) -> Option<String> {
        let held = self.life.as_ref()?.held_for();
        (held > limit?).then(|| format!("held its thread for {held:.1?}"))
    }

    /// Why its thread must be left, if that is held by something that nobody watches any more: a life of before.
    pub fn not_begun(&self, limit: Option<Duration>) -> Option<String> {
        let waited = self.life.as_ref()?.waits_to_begin()?.min(self.kid.home()?.quiet_for());
        (waited > limit?).then(|| format!("its thread did not begin with it for {waited:.1?}"))
    }

    /// Counts a failure; answers how long to wait before the next life.
    pub fn failed(&mut self, backoff: Backoff, now: Instant) -> Duration {
        if backoff.forgets_after(now.saturating_duration_since(self.started)) {
            self.failures = 0;
        }
        self.failures += 1;
        backoff.delay(self.failures, rand::random())
    }

    /// The next moment at which a clock of this life runs out.
    pub fn next_clock(&self) -> Option<Instant> {
        [self.kill_at, self.sentence.as_ref().map(|(_, at)| *at)].into_iter().flatten().min()
    }

    /// Why the present life has ended.
    pub fn reason_of(&self, exit: &Exit) -> String {
        if self.recalled && *exit == Exit::Stopped { "restarted by an operator".to_owned() } else { exit.to_string() }
    }

    /// Has the present life suffer a fault.
    pub fn inject(&self, fault: Fault) -> Intervened {
        if self.life.is_none() || self.sentence.is_some() {
            return Intervened::NotAlive;
        }
        self.kid.order(Order::Inject(fault));
        Intervened::Done
    }

    /// Opens the gate as the breaker allows, unless the present life was killed.
    pub fn open(&self) {
        if self.sentence.is_none() {
            self.kid.open(self.breaker_state());
        }
    }

    pub fn home_generation(&self) -> u64 {
        self.kid.home().map_or(0, |home| home.generation())
    }

    pub fn breaker_state(&self) -> State {
        self.breaker.as_ref().map_or(State::Closed, Breaker::state)
    }

    /// When the breaker is to be tried again, if it is open.
    pub fn open_until(&self) -> Option<Instant> {
        match self.breaker_state() {
            State::Open { until } => Some(until),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    pub fn node(&self, kind: NodeKind, now: Instant) -> Node {
        let epoch = self.kid.epoch();
        let breaker = self.breaker.as_ref().map(|breaker| match breaker.state() {
            State::Closed => BreakerView { state: "closed", retry_after_s: None },
            State::Open { until } => {
                let left = until.saturating_duration_since(now).as_secs_f64();
                BreakerView { state: "open", retry_after_s: Some(left) }
            }
            State::HalfOpen { .. } => BreakerView { state: "half_open", retry_after_s: None },
        });
        Node {
            epoch,
            restarts: epoch.saturating_sub(1),
            breaker,
            queue: self.life.as_ref().map_or(0, |life| life.queue()),
            last_exit: self.last_exit.clone(),
            arbiter: self.kid.home().map(|home| home.name().to_owned()),
            // a supervisor cannot be met at work by one that shares its thread
            busy: self.busy.share().filter(|_| kind == NodeKind::Worker),
            lost_threads: self.kid.home().map_or(0, |home| home.lost()),
            ..Node::new(self.name.clone(), kind, self.kid.state())
        }
    }
}
