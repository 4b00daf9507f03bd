//! Which child of a supervisor is stopped or started next: order and strategy, without any child.
//!
//! Children start in their order and stop in the reverse one. The answer is a function of every member's phase, so
//! that failures in the middle of a stop or a start need no special case.
use std::time::Instant;

/// Who else is restarted when a child fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    OneForOne,
    /// The failed child and those that were started after it.
    RestForOne,
    OneForAll,
}

impl Strategy {
    pub fn name(self) -> &'static str {
        match self {
            Strategy::OneForOne => "one_for_one",
            Strategy::RestForOne => "rest_for_one",
            Strategy::OneForAll => "one_for_all",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not alive; to be started at this time, when its turn comes.
    Due {
        at: Instant,
    },
    /// Alive, not ready for requests.
    Starting,
    Up,
    /// Alive, and to be stopped; `told` once it was.
    Leaving {
        told: bool,
    },
    /// Not alive, and not wanted any more.
    Ended,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Start(usize),
    Stop(usize),
    /// Nothing before this time, or before the next event.
    Wait(Option<Instant>),
    /// The roster was closed and nobody is left.
    AllGone,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    phase: Phase,
    /// When it leaves: start it again at this time.
    again: Option<Instant>,
    was_up: bool,
}

#[derive(Debug, Clone)]
pub struct Roster {
    strategy: Strategy,
    members: Vec<Member>,
    closed: bool,
}

impl Roster {
    pub fn new(strategy: Strategy, members: usize, now: Instant) -> Self {
        let member = Member { phase: Phase::Due { at: now }, again: None, was_up: false };
        Roster { strategy, members: vec![member; members], closed: false }
    }

    pub fn phase(&self, index: usize) -> Phase {
        self.members[index].phase
    }

    pub fn is_alive(&self, index: usize) -> bool {
        matches!(self.phase(index), Phase::Starting | Phase::Up | Phase::Leaving { .. })
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Carries out [`Step::Start`].
    pub fn started(&mut self, index: usize) {
        self.members[index].phase = Phase::Starting;
    }

    /// A started child serves. False if that is no news.
    pub fn ready(&mut self, index: usize) -> bool {
        let news = self.phase(index) == Phase::Starting;
        if news {
            self.members[index].phase = Phase::Up;
            self.members[index].was_up = true;
        }
        news
    }

    /// Carries out [`Step::Stop`].
    pub fn told(&mut self, index: usize) {
        self.members[index].phase = Phase::Leaving { told: true };
    }

    /// A child that was to be stopped is gone.
    pub fn left(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.phase = member.again.take().map_or(Phase::Ended, |at| Phase::Due { at });
    }

    /// A child is gone and is not wanted any more.
    pub fn ended(&mut self, index: usize) {
        self.members[index].phase = Phase::Ended;
    }

    /// A child is gone and is to be started again, with all that the strategy ties to it. Answers the others that
    /// must now leave.
    pub fn fell(&mut self, index: usize, at: Instant) -> Vec<usize> {
        self.members[index].phase = Phase::Due { at };
        let others = self.tied_to(index);
        self.send_away(others, at)
    }

    /// Restarts a child whatever its phase, with all that the strategy ties to it. Answers those that must now leave.
    pub fn recall(&mut self, index: usize, at: Instant) -> Vec<usize> {
        if self.closed {
            return Vec::new();
        }
        if !self.is_alive(index) {
            self.members[index].phase = Phase::Due { at };
        }
        let mut all = self.tied_to(index);
        all.push(index);
        self.send_away(all, at)
    }

    /// Stops everything for good. Answers those that must now leave.
    pub fn close(&mut self) -> Vec<usize> {
        self.closed = true;
        let mut leaving = Vec::new();
        for index in 0..self.members.len() {
            let alive = self.is_alive(index);
            let member = &mut self.members[index];
            member.again = None;
            match member.phase {
                Phase::Leaving { .. } => leaving.push(index),
                _ if alive => {
                    member.phase = Phase::Leaving { told: false };
                    leaving.push(index);
                }
                _ => member.phase = Phase::Ended,
            }
        }
        leaving
    }

    pub fn next(&self, now: Instant) -> Step {
        let in_order = self.closed || self.strategy != Strategy::OneForOne;
        let phases = || self.members.iter().map(|member| member.phase).enumerate();
        let stopping = phases().any(|(_, phase)| phase == Phase::Leaving { told: true });
        let to_stop = phases().rev().find(|(_, phase)| *phase == Phase::Leaving { told: false });
        if in_order && stopping {
            return Step::Wait(None);
        }
        if let Some((index, _)) = to_stop {
            return Step::Stop(index);
        }
        if self.closed {
            return Step::AllGone;
        }
        let mut wake = None;
        for (index, phase) in phases() {
            match phase {
                Phase::Due { .. } if !self.may_start(index) => {}
                Phase::Due { at } if at <= now => return Step::Start(index),
                Phase::Due { at } => wake = Some(wake.map_or(at, |earlier: Instant| earlier.min(at))),
                _ => {}
            }
        }
        Step::Wait(wake)
    }

    /// A child begins after those before it: always where the strategy ties them together, else the first time only.
    fn may_start(&self, index: usize) -> bool {
        let free = self.strategy == Strategy::OneForOne && self.members[index].was_up;
        let earlier = &self.members[..index];
        free || earlier.iter().all(|member| match member.phase {
            Phase::Up | Phase::Ended => true,
            _ => self.strategy == Strategy::OneForOne && member.was_up,
        })
    }

    fn tied_to(&self, index: usize) -> Vec<usize> {
        match self.strategy {
            Strategy::OneForOne => Vec::new(),
            Strategy::RestForOne => (index + 1..self.members.len()).collect(),
            Strategy::OneForAll => (0..self.members.len()).filter(|other| *other != index).collect(),
        }
    }

    fn send_away(&mut self, members: Vec<usize>, at: Instant) -> Vec<usize> {
        let leaving: Vec<usize> = members.into_iter().filter(|index| self.is_alive(*index)).collect();
        for &index in &leaving {
            let member = &mut self.members[index];
            member.again = Some(member.again.map_or(at, |earlier| earlier.max(at)));
            if !matches!(member.phase, Phase::Leaving { .. }) {
                member.phase = Phase::Leaving { told: false };
            }
        }
        leaving
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{Just, prop, prop_assert, prop_oneof, proptest};
    use proptest::strategy::Strategy as Generator;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the core has no clock; the tests need some instant to begin at")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Carries out every step; each started child is ready and each stopped one gone at once. Answers `+i` and `-i`.
    fn settle(roster: &mut Roster, now: Instant) -> String {
        let mut log = String::new();
        loop {
            match roster.next(now) {
                Step::Start(index) => {
                    roster.started(index);
                    roster.ready(index);
                    log += &format!("+{index}");
                }
                Step::Stop(index) => {
                    roster.told(index);
                    roster.left(index);
                    log += &format!("-{index}");
                }
                Step::Wait(_) | Step::AllGone => return log,
            }
        }
    }

    #[test]
    fn the_strategy_says_who_is_restarted_and_in_which_order() {
        let table = [
            (Strategy::OneForOne, "", "+1"),
            (Strategy::RestForOne, "-3-2", "+1+2+3"),
            (Strategy::OneForAll, "-3-2-0", "+0+1+2+3"),
        ];
        for (strategy, stopped, started) in table {
            let now = start();
            let later = now + Duration::from_secs(1);
            let mut roster = Roster::new(strategy, 4, now);
            assert_eq!(settle(&mut roster, now), "+0+1+2+3");
            roster.fell(1, later);
            assert_eq!(settle(&mut roster, now), stopped, "{strategy:?} stops at once");
            assert_eq!(roster.next(now), Step::Wait(Some(later)));
            assert_eq!(settle(&mut roster, later), started, "{strategy:?} starts after the delay");
            roster.close();
            assert_eq!(settle(&mut roster, later), "-3-2-1-0");
            assert_eq!(roster.next(later), Step::AllGone);
        }
    }

    #[test]
    fn a_child_waits_for_the_readiness_of_those_before_it() {
        for strategy in [Strategy::OneForOne, Strategy::RestForOne] {
            let now = start();
            let mut roster = Roster::new(strategy, 2, now);
            assert_eq!(roster.next(now), Step::Start(0));
            roster.started(0);
            assert_eq!(roster.next(now), Step::Wait(None));
            roster.fell(0, now);
            assert_eq!(roster.next(now), Step::Start(0), "a failed start is repeated before the next child begins");
            roster.started(0);
            assert!(roster.ready(0));
            assert_eq!(roster.next(now), Step::Start(1));
        }
    }

    #[test]
    fn an_independent_child_does_not_wait_for_the_restart_of_another() {
        let now = start();
        let later = now + Duration::from_secs(9);
        let mut roster = Roster::new(Strategy::OneForOne, 3, now);
        settle(&mut roster, now);
        roster.fell(0, later);
        roster.fell(2, now);
        assert_eq!(settle(&mut roster, now), "+2");
        roster.ended(2);
        assert_eq!(roster.next(now), Step::Wait(Some(later)));
        roster.recall(2, now);
        assert_eq!(settle(&mut roster, now), "+2", "an ended child can be called back");
    }

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Step,
        Ready(usize),
        Dies(usize, u64),
        Recall(usize),
        Close,
        Wait(u64),
    }

    fn leaving(roster: &Roster, index: usize) -> bool {
        matches!(roster.phase(index), Phase::Leaving { .. })
    }

    fn stopping(roster: &Roster, index: usize) -> bool {
        roster.phase(index) == Phase::Leaving { told: true }
    }

    fn events() -> impl Generator<Value = Vec<Event>> {
        let event = prop_oneof![
            8 => Just(Event::Step),
            4 => (0usize..5).prop_map(Event::Ready),
            4 => (0usize..5, 0u64..4).prop_map(|(index, delay)| Event::Dies(index, delay)),
            1 => (0usize..5).prop_map(Event::Recall),
            1 => Just(Event::Close),
            4 => (0u64..4).prop_map(Event::Wait),
        ];
        prop::collection::vec(event, 0..150)
    }

    proptest! {
        /// Children that depend on each other start after their ready predecessors and stop one by one from the end;
        /// whatever happened, the roster comes to rest with all up, or after a close with all gone.
        #[test]
        fn any_history_keeps_the_order_and_comes_to_rest(events in events(), which in 0usize..3) {
            let strategy = [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll][which];
            let mut now = start();
            let mut roster = Roster::new(strategy, 5, now);
            let tied = strategy != Strategy::OneForOne;
            for event in events {
                match event {
                    Event::Step => match roster.next(now) {
                        Step::Start(index) => {
                            prop_assert!(!roster.is_alive(index) && !roster.is_closed());
                            if tied {
                                prop_assert!((0..index).all(|earlier| roster.phase(earlier) == Phase::Up), "{:?}", roster);
                                prop_assert!(!(0..5).any(|other| leaving(&roster, other)));
                            }
                            roster.started(index);
                        }
                        Step::Stop(index) => {
                            prop_assert!(roster.is_alive(index));
                            if tied || roster.is_closed() {
                                prop_assert!(!(0..5).any(|other| stopping(&roster, other)));
                                prop_assert!(!(index + 1..5).any(|later| leaving(&roster, later)));
                            }
                            roster.told(index);
                        }
                        Step::Wait(_) => {}
                        Step::AllGone => prop_assert!(roster.is_closed() && (0..5).all(|index| !roster.is_alive(index))),
                    },
                    Event::Ready(index) => { roster.ready(index); }
                    Event::Dies(index, delay) => match roster.phase(index) {
                        Phase::Leaving { .. } => roster.left(index),
                        Phase::Starting | Phase::Up => { roster.fell(index, now + Duration::from_secs(delay)); }
                        Phase::Due { .. } | Phase::Ended => {}
                    },
                    Event::Recall(index) => { roster.recall(index, now); }
                    Event::Close => { roster.close(); }
                    Event::Wait(seconds) => now += Duration::from_secs(seconds),
                }
            }
            for _ in 0..20 {
                now += Duration::from_secs(10);
                for index in 0..5 {
                    roster.ready(index);
                    if stopping(&roster, index) {
                        roster.left(index);
                    }
                }
                settle(&mut roster, now);
            }
            let rest = if roster.is_closed() { Phase::Ended } else { Phase::Up };
            prop_assert!((0..5).all(|index| roster.phase(index) == rest), "{:?}", roster);
        }
    }
}
