//! The circuit breaker of one child. Its supervisor is the only one who asks it; callers see the gate it moves.
//!
//! ```text
//!         5 failures in a row, or of the last 100 (20 at least) half failed or 80 % were slow
//! CLOSED ------------------------------------------------------------------------------> OPEN for 60 s
//!   ^                                                                                     |      ^
//!   | the probe succeeds                                                 the time is over |      |
//!   +------------------------------------- HALF OPEN <-----------------------------------+      |
//!                                              | the probe fails, is lost, or the child ends     |
//!                                              +-------------------------------------------------+
//! ```
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When a breaker opens and how it closes again.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerOptions {
    /// Opens after so many failures in a row.
    pub in_a_row: u32,
    /// How many of the last calls are looked at.
    pub window: usize,
    /// With fewer calls than this the shares say nothing.
    pub min_calls: usize,
    /// Opens at this share of failed calls.
    pub failed_share: f64,
    /// Opens at this share of slow calls.
    pub slow_share: f64,
    /// A call that takes as long as this is slow.
    pub slow: Duration,
    pub open_for: Duration,
    /// A probe without a result is lost after this time.
    pub probe_timeout: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        BreakerOptions {
            in_a_row: 5,
            window: 100,
            min_calls: 20,
            failed_share: 0.5,
            slow_share: 0.8,
            slow: Duration::from_secs(2),
            open_for: Duration::from_secs(60),
            probe_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// Exactly one request may pass: the holder of probe number `probe`.
    HalfOpen {
        probe: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    failed: bool,
    slow: bool,
}

#[derive(Debug, Clone)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
    failures_in_a_row: u32,
    calls: VecDeque<Call>,
    probes: u64,
}

impl Breaker {
    pub fn new(options: BreakerOptions) -> Self {
        Breaker { options, state: State::Closed, failures_in_a_row: 0, calls: VecDeque::new(), probes: 0 }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn options(&self) -> &BreakerOptions {
        &self.options
    }

    /// Takes in an ordinary call. Outside of `Closed` it is the late result of a call admitted before, and ignored.
    /// True if the state changed.
    pub fn call(&mut self, now: Instant, failed: bool, slow: bool) -> bool {
        if self.state != State::Closed {
            return false;
        }
        self.failures_in_a_row = if failed { self.failures_in_a_row + 1 } else { 0 };
        self.remember(Call { failed, slow });
        let trips = self.failures_in_a_row >= self.options.in_a_row || self.shares_are_bad();
        if trips {
            self.open(now);
        }
        trips
    }

    /// Takes in a run of quick successes that were only counted.
    pub fn successes(&mut self, count: u32) {
        if count == 0 || self.state != State::Closed {
            return;
        }
        self.failures_in_a_row = 0;
        for _ in 0..(count as usize).min(self.options.window) {
            self.remember(Call { failed: false, slow: false });
        }
    }

    /// Takes in the result of a probe. One of an earlier trial is ignored. True if the state changed.
    pub fn probed(&mut self, now: Instant, probe: u64, failed: bool) -> bool {
        if self.state != (State::HalfOpen { probe }) {
            return false;
        }
        if failed {
            self.open(now);
        } else {
            self.state = State::Closed;
        }
        true
    }

    /// The probe was never tried, or its result says nothing: the next caller may probe. True if the state changed.
    pub fn probe_again(&mut self, probe: u64) -> bool {
        let again = self.state == State::HalfOpen { probe };
        if again {
            self.half_open();
        }
        again
    }

    /// The child ended, or the probe was lost. True if the state changed.
    pub fn broke(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed => self.call(now, true, false),
            State::HalfOpen { .. } => {
                self.open(now);
                true
            }
            State::Open { .. } => false,
        }
    }

    /// Half-opens when the time is over. True if the state changed.
    pub fn tick(&mut self, now: Instant) -> bool {
        let over = matches!(self.state, State::Open { until } if until <= now);
        if over {
            self.half_open();
        }
        over
    }

    fn open(&mut self, now: Instant) {
        self.failures_in_a_row = 0;
        self.calls.clear();
        self.state = State::Open { until: now + self.options.open_for };
    }

    fn half_open(&mut self) {
        self.probes += 1;
        self.state = State::HalfOpen { probe: self.probes };
    }

    fn remember(&mut self, call: Call) {
        if self.calls.len() >= self.options.window {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    fn shares_are_bad(&self) -> bool {
        let share = |count: usize| count as f64 / self.calls.len() as f64;
        self.calls.len() >= self.options.min_calls.max(1)
            && (share(self.calls.iter().filter(|call| call.failed).count()) >= self.options.failed_share
                || share(self.calls.iter().filter(|call| call.slow).count()) >= self.options.slow_share)
    }
}
