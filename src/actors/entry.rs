//! One child as its supervisor sees it: the kid, its breaker, its clocks.
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::actors::child::ChildSpec;
use crate::actors::child::Kid;
use crate::actors::home::Home;
use crate::actors::incarnation::Order;
use crate::actors::life::Life;
use crate::messages::supervision::BreakerView;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;
use crate::resilience::breaker::Breaker;
use crate::resilience::breaker::State;
use crate::resilience::busy::Busy;

/// How long a killed child may take to end before it is left behind.
const KILL_WAIT: Duration = Duration::from_millis(100);

pub(super) struct Entry {
    pub name: String,
    pub path: String,
    pub kid: Box<dyn Kid>,
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

    pub fn began(&mut self, life: Arc<Life>, now: Instant) {
        self.life = Some(life);
        self.started = now;
        self.generation = self.home_generation();
        self.kill_at = None;
        self.sentence = None;
        self.recalled = false;
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
            name: self.name.clone(),
            kind,
            strategy: None,
            state: self.kid.state(),
            epoch,
            restarts_in_window: 0,
            restarts: epoch.saturating_sub(1),
            breaker,
            queue: self.life.as_ref().map_or(0, |life| life.queue()),
            last_exit: self.last_exit.clone(),
            arbiter: self.kid.home().map(|home| home.name().to_owned()),
            busy: self.busy.share(),
            lost_threads: self.kid.home().map_or(0, |home| home.lost()),
            children: Vec::new(),
        }
    }
}
