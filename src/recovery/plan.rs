//! From what firing alerts call for to limited steps: quick to give way, slow to take back (AIMD, as in TCP).
//!
//! While an alert calls for it the share of the agents' places is halved, at once and again after each `ESCALATE`, down
//! to a quarter. Once nothing has called for it for one `hold` it rises by a quarter, and so after each further `hold`.
//! Paused work goes on after one `hold` without a call.
use std::time::{Duration, Instant};

use crate::recovery::action::{Action, Restraint, Step};

/// A measure that has not helped by then is taken further.
const ESCALATE: Duration = Duration::from_secs(30);
const LEAST: f64 = 0.25;
const RISE: f64 = 0.25;
/// Give-ways in an hour; then nothing more is done until older ones are an hour old.
const MOST_AN_HOUR: usize = 30;
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    Off,
    /// Says what it would do, and does nothing.
    DryRun,
    #[default]
    On,
}

#[derive(Debug, Clone)]
pub struct Plan {
    hold: Duration,
    share: f64,
    held_back: bool,
    /// When the share was changed.
    share_at: Option<Instant>,
    /// When a smaller share was last called for, and whether it was when last asked.
    called_at: Option<Instant>,
    was_called: bool,
    /// When holding back was last called for.
    held_at: Option<Instant>,
    given_way: Vec<Instant>,
}

impl Plan {
    pub fn new(hold: Duration) -> Self {
        Plan {
            hold,
            share: 1.0,
            held_back: false,
            share_at: None,
            called_at: None,
            was_called: false,
            held_at: None,
            given_way: Vec::new(),
        }
    }

    pub fn restraint(&self) -> Restraint {
        Restraint { share: self.share, hold_back: self.held_back }
    }

    /// To be asked about once a second; `called` are the actions that firing alerts call for.
    pub fn advise(&mut self, called: &[Action], now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        self.given_way.retain(|at| now.saturating_duration_since(*at) < HOUR);
        self.advise_share(called.contains(&Action::ReduceAgentConcurrency), now, &mut steps);
        self.advise_hold(called.contains(&Action::PauseNonCritical), now, &mut steps);
        steps
    }

    fn advise_share(&mut self, called: bool, now: Instant, steps: &mut Vec<Step>) {
        let past = |at: Option<Instant>, time: Duration| at.is_none_or(|at| now.saturating_duration_since(at) >= time);
        let was_called = std::mem::replace(&mut self.was_called, called);
        let is_new = called && !was_called;
        let next = if called {
            self.called_at = Some(now);
            let due = is_new || past(self.share_at, ESCALATE);
            (due && self.share > LEAST && self.may_give_way(now)).then(|| (self.share / 2.0).max(LEAST))
        } else {
            let due = self.share < 1.0 && past(self.share_at, self.hold) && past(self.called_at, self.hold);
            due.then(|| (self.share + RISE).min(1.0))
        };
        if let Some(share) = next {
            self.share = share;
            self.share_at = Some(now);
            steps.push(Step::SetShare(share));
        }
    }

    fn advise_hold(&mut self, called: bool, now: Instant, steps: &mut Vec<Step>) {
        if called {
            self.held_at = Some(now);
            if !self.held_back && self.may_give_way(now) {
                self.held_back = true;
                steps.push(Step::HoldBack);
            }
        } else if self.held_back && self.held_at.is_none_or(|at| now.saturating_duration_since(at) >= self.hold) {
            self.held_back = false;
            steps.push(Step::LetGo);
        }
    }

    fn may_give_way(&mut self, now: Instant) -> bool {
        let may = self.given_way.len() < MOST_AN_HOUR;
        if may {
            self.given_way.push(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static START: LazyLock<Instant> = LazyLock::new(crate::clock::now);
    const REDUCE: &[Action] = &[Action::ReduceAgentConcurrency];
    const PAUSE: &[Action] = &[Action::PauseNonCritical];

    fn at(seconds: u64) -> Instant {
        *START + Duration::from_secs(seconds)
    }

    fn plan() -> Plan {
        Plan::new(Duration::from_secs(10))
    }

    #[test]
    fn concurrency_falls_at_once_and_rises_step_by_step() {
        let mut plan = plan();
        assert_eq!(plan.advise(&[], at(0)), []);
        assert_eq!(plan.advise(REDUCE, at(1)), [Step::SetShare(0.5)]);
        assert_eq!(plan.advise(REDUCE, at(30)), []);
        assert_eq!(plan.advise(REDUCE, at(31)), [Step::SetShare(0.25)]);
        assert_eq!(plan.advise(REDUCE, at(100)), [], "never below a quarter");
        assert_eq!(plan.advise(&[], at(101)), [], "it was called for a moment ago");
        assert_eq!(plan.advise(&[], at(110)), [Step::SetShare(0.5)]);
        assert_eq!(plan.advise(&[], at(119)), []);
        assert_eq!(plan.advise(&[], at(120)), [Step::SetShare(0.75)]);
        assert_eq!(plan.advise(&[], at(130)), [Step::SetShare(1.0)]);
        assert_eq!(plan.advise(&[], at(500)), []);
    }

    #[test]
    fn a_new_call_on_the_way_back_is_heard_at_once() {
        let mut plan = plan();
        plan.advise(REDUCE, at(0));
        assert_eq!(plan.advise(&[], at(10)), [Step::SetShare(0.75)]);
        assert_eq!(plan.advise(REDUCE, at(11)), [Step::SetShare(0.375)]);
        assert_eq!(plan.advise(REDUCE, at(12)), []);
        assert_eq!(plan.advise(REDUCE, at(41)), [Step::SetShare(0.25)]);
    }

    #[test]
    fn paused_work_goes_on_once_nothing_has_called_for_the_pause_for_a_while() {
        let mut plan = plan();
        assert_eq!(plan.advise(PAUSE, at(0)), [Step::HoldBack]);
        assert_eq!(plan.advise(PAUSE, at(50)), []);
        assert_eq!(plan.advise(&[], at(59)), []);
        assert_eq!(plan.advise(&[], at(60)), [Step::LetGo]);
        assert_eq!(plan.advise(&[], at(70)), []);
    }

    proptest! {
        #[test]
        fn whatever_is_called_for_it_all_ends_at_the_start(calls in prop::collection::vec((1_u64..90, any::<bool>(), any::<bool>()), 0..300)) {
            let (mut plan, mut now, mut falls) = (plan(), 0, Vec::new());
            for (step, reduce, pause) in calls {
                now += step;
                let called: Vec<Action> =
                    [(reduce, REDUCE[0]), (pause, PAUSE[0])].into_iter().filter(|(on, _)| *on).map(|(_, a)| a).collect();
                let before = plan.restraint().share;
                plan.advise(&called, at(now));
                prop_assert!((LEAST..=1.0).contains(&plan.restraint().share));
                prop_assert!(plan.restraint().share - before <= RISE);
                if plan.restraint().share < before { falls.push(now); }
                falls.retain(|at| now - at < 3600);
                prop_assert!(falls.len() <= MOST_AN_HOUR);
            }
            for _ in 0..5 {
                now += 60;
                plan.advise(&[], at(now));
            }
            prop_assert!(plan.restraint() == Restraint::NONE);
        }
    }
}
