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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the core has no clock; the tests need some instant to begin at")]
    fn start() -> Instant {
        Instant::now()
    }

    fn fresh() -> Breaker {
        Breaker::new(BreakerOptions::default())
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = fresh();
        assert!(breaker.broke(now) || (1..5).any(|_| breaker.broke(now)));
        breaker
    }

    /// Feeds calls written as letters: `.` good, `x` failed, `s` slow. Answers how many it took to open.
    fn check(calls: &str) -> Option<usize> {
        let (mut breaker, now) = (fresh(), start());
        calls.chars().position(|call| breaker.call(now, call == 'x', call == 's')).map(|index| index + 1)
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_does_not() {
        assert_eq!(check("xxxxx"), Some(5));
        assert_eq!(check("xxxx.xxxx"), None);
        assert_eq!(check("xxxx.xxxxx"), Some(10));
    }

    #[test]
    fn half_failed_or_most_slow_opens_it_but_not_before_twenty_calls() {
        assert_eq!(check(&"x.".repeat(9)), None, "18 calls say nothing");
        assert_eq!(check(&"x.".repeat(10)), Some(20));
        assert_eq!(check(&"x..".repeat(40)), None, "a third is not half");
        assert_eq!(check(&"s".repeat(20)), Some(20));
        assert_eq!(check(&"sss..".repeat(20)), None, "60 % slow is not 80 %");
    }

    #[test]
    fn only_the_last_hundred_calls_count() {
        let mut breaker = fresh();
        let now = start();
        breaker.successes(1000);
        assert!(!(0..60).any(|n| breaker.call(now, n % 2 == 0, false)), "70 good ones are still in the window");
        assert!((0..60).any(|n| breaker.call(now, n % 4 != 0, false)));
    }

    #[test]
    fn one_probe_decides_and_only_the_present_one() {
        let now = start();
        let later = now + Duration::from_secs(60);
        let mut breaker = opened(now);
        assert!(!breaker.tick(later - Duration::from_nanos(1)));
        assert!(breaker.tick(later));
        assert_eq!(breaker.state(), State::HalfOpen { probe: 1 });
        assert!(!breaker.call(later, true, false), "late results of calls admitted before are not the probe");
        assert!(!breaker.probed(later, 7, false), "nor is the probe of another trial");
        assert!(breaker.probe_again(1), "a probe that was never tried is given out again");
        assert!(!breaker.probed(later, 1, true));
        assert!(breaker.probed(later, 2, true));
        assert_eq!(breaker.state(), State::Open { until: later + Duration::from_secs(60) });
        assert!(breaker.tick(later + Duration::from_secs(60)));
        assert!(breaker.probed(later, 3, false));
        assert_eq!(breaker.state(), State::Closed);
        assert!(!(0..4).any(|_| breaker.broke(later)), "it begins anew");
    }

    #[derive(Debug, Clone)]
    enum Event {
        Call { failed: bool, slow: bool },
        Successes(u32),
        Broke,
        Probed { off: u64, failed: bool },
        Again { off: u64 },
        Wait(u64),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            4 => (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| Event::Call { failed, slow }),
            1 => (0u32..8).prop_map(Event::Successes),
            2 => Just(Event::Broke),
            2 => (0u64..3, any::<bool>()).prop_map(|(off, failed)| Event::Probed { off, failed }),
            1 => (0u64..3).prop_map(|off| Event::Again { off }),
            2 => (0u64..90).prop_map(Event::Wait),
        ];
        prop::collection::vec(event, 0..200)
    }

    proptest! {
        /// Whatever happens, an open breaker stays as it is until its time, and only its probe closes a half-open one.
        #[test]
        fn it_opens_for_its_time_and_closes_by_its_probe_alone(events in events()) {
            let mut now = start();
            let mut breaker = fresh();
            let mut newest = 0;
            for event in events {
                let before = breaker.state();
                let changed = match event.clone() {
                    Event::Call { failed, slow } => breaker.call(now, failed, slow),
                    Event::Successes(count) => { breaker.successes(count); false }
                    Event::Broke => breaker.broke(now),
                    Event::Probed { off, failed } => breaker.probed(now, newest + 1 - off.min(newest + 1), failed),
                    Event::Again { off } => breaker.probe_again(newest + 1 - off.min(newest + 1)),
                    Event::Wait(seconds) => { now += Duration::from_secs(seconds); breaker.tick(now) }
                };
                let after = breaker.state();
                prop_assert_eq!(changed, before != after);
                match (before, after) {
                    (State::Open { until }, State::HalfOpen { .. }) => prop_assert!(until <= now),
                    (State::Open { until }, State::Open { until: then }) => prop_assert_eq!(until, then),
                    (State::Open { .. }, State::Closed) => prop_assert!(false, "closed without a probe"),
                    (State::HalfOpen { probe }, State::HalfOpen { probe: next }) => prop_assert!(next == probe || next == probe + 1),
                    (State::HalfOpen { .. }, State::Closed) => prop_assert!(matches!(event, Event::Probed { off: 1, failed: false }), "{:?}", event),
                    (State::Closed, State::HalfOpen { .. }) => prop_assert!(false, "half-open without having been open"),
                    (_, State::Open { until }) => prop_assert_eq!(until, now + Duration::from_secs(60)),
                    (State::Closed, State::Closed) => {}
                }
                if let State::HalfOpen { probe } = after {
                    prop_assert!(probe >= newest);
                    newest = probe;
                }
            }
        }
    }
}
