//! How many restarts are too many: a window over time, after which a supervisor gives up.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// More than `max` restarts `within` this time: restarting does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    pub max: usize,
    pub within: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Restart,
    GiveUp,
}

/// The restarts of the recent past.
#[derive(Debug, Clone)]
pub struct RestartWindow {
    intensity: Intensity,
    restarts: VecDeque<Instant>,
}

impl RestartWindow {
    pub fn new(intensity: Intensity) -> Self {
        RestartWindow { intensity, restarts: VecDeque::new() }
    }

    /// Notes a failure that calls for a restart.
    pub fn record(&mut self, now: Instant) -> Verdict {
        self.forget(now);
        self.restarts.push_back(now);
        if self.restarts.len() > self.intensity.max { Verdict::GiveUp } else { Verdict::Restart }
    }

    /// Restarts that still count.
    pub fn count(&mut self, now: Instant) -> usize {
        self.forget(now);
        self.restarts.len()
    }

    fn forget(&mut self, now: Instant) {
        let within = self.intensity.within;
        while self.restarts.front().is_some_and(|then| now.saturating_duration_since(*then) > within) {
            self.restarts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the core has no clock; the tests need some instant to begin at")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_fourth_crash_within_a_minute_gives_up() {
        let start = start();
        let at = |second| start + Duration::from_secs(second);
        let mut window = RestartWindow::new(Intensity { max: 3, within: Duration::from_secs(60) });
        for second in [0, 10, 20] {
            assert_eq!(window.record(at(second)), Verdict::Restart);
        }
        assert_eq!(window.clone().record(at(60)), Verdict::GiveUp, "the first is exactly a minute old and counts");
        assert_eq!(window.record(at(61)), Verdict::Restart, "the first is forgotten");
        assert_eq!(window.count(at(200)), 0);
    }

    #[test]
    fn with_no_restarts_allowed_the_first_failure_gives_up() {
        let mut window = RestartWindow::new(Intensity { max: 0, within: Duration::from_secs(1) });
        assert_eq!(window.record(start()), Verdict::GiveUp);
    }
}
