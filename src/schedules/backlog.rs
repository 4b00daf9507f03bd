//! What a schedule owes when somebody looks: usually one firing, and after a long absence what its rules say.
use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use crate::schedules::rules::{CatchUp, Rules};

/// A time that is looked at this late was missed: longer than between two looks.
pub const GRACE: TimeDelta = TimeDelta::seconds(90);
/// How many missed firings are made up for at most.
pub const MOST: usize = 100;

/// What is due, in order, and what is given up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    pub fire: Vec<DateTime<Utc>>,
    pub missed: Option<Missed>,
    /// None: it is never due again.
    pub next: Option<DateTime<Utc>>,
}

/// All times from the first to the last are not made up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    pub why: String,
}

/// `due` is the first time that was not dealt with; `anchor` is when the schedule was made.
pub fn backlog(rules: &Rules, due: DateTime<Utc>, anchor: DateTime<Utc>, now: DateTime<Utc>) -> Backlog {
    let next = rules.next(now, anchor);
    if due > now {
        // A clock that was ahead and was put right must not keep the schedule waiting until it is there again. What
        // was fired meanwhile has its rows, which keep it from firing twice.
        return Backlog { next: next.map(|next| next.min(due)), ..Backlog::default() };
    }
    let most = if rules.catch_up == CatchUp::All { MOST } else { 1 };
    let (mut fire, cut) = newest(rules, due, anchor, now, most);
    let mut missed = None;
    if let Some(last) = cut {
        let why = match rules.catch_up {
            CatchUp::All => format!("more than {MOST} firings were missed; the newest {MOST} are made up for"),
            CatchUp::One => "of the firings that were missed, the newest alone is made up for".to_owned(),
            CatchUp::Skip => "firings that were missed are not made up for".to_owned(),
        };
        missed = Some(Missed { first: due, last, why });
    }
    if rules.catch_up == CatchUp::Skip && fire.last().is_some_and(|newest| now - *newest > GRACE) {
        let last = fire.pop().unwrap_or(due);
        missed = Some(Missed { first: due, last, why: "firings that were missed are not made up for".to_owned() });
    }
    Backlog { fire, missed, next }
}

/// The newest times from `due` to `now`, and the last one that is older than these.
fn newest(
    rules: &Rules,
    due: DateTime<Utc>,
    anchor: DateTime<Utc>,
    now: DateTime<Utc>,
    most: usize,
) -> (Vec<DateTime<Utc>>, Option<DateTime<Utc>>) {
    // Years of seconds cannot be walked through: look back further and further until there are enough of them.
    let mut span = TimeDelta::hours(1);
    loop {
        let from = (now - span).max(due);
        let first = if from == due { Some(due) } else { rules.next(from, anchor) };
        let times = std::iter::successors(first, |last| rules.next(*last, anchor)).take_while(|time| *time <= now);
        let mut kept: VecDeque<DateTime<Utc>> = VecDeque::new();
        for time in times {
            kept.push_back(time);
            // One more than wanted tells where the rest ends.
            if kept.len() > most + 1 {
                kept.pop_front();
            }
        }
        if kept.len() > most {
            let cut = kept.pop_front();
            return (kept.into(), cut);
        }
        if from == due {
            return (kept.into(), None);
        }
        span = span * 4;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::schedules::rules::{Overlap, Timing, zone};

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn hourly(catch_up: CatchUp) -> Rules {
        let timing = Timing::cron("0 * * * *", utc("2026-01-01T00:00:00Z")).expect("a pattern");
        Rules { timing, zone: zone("UTC").expect("a zone"), catch_up, overlap: Overlap::default() }
    }

    /// What is owed at `now` if all before 10:00 was dealt with: hours that fire, and hours given up.
    fn check(catch_up: CatchUp, now: &str, fire: &[u32], missed: Option<(u32, u32)>) {
        let day = |hour: u32| utc("2026-06-01T00:00:00Z") + TimeDelta::hours(i64::from(hour));
        let now = utc(&format!("2026-06-01T{now}Z"));
        let owed = backlog(&hourly(catch_up), day(10), day(0), now);
        assert_eq!(owed.fire, fire.iter().map(|hour| day(*hour)).collect::<Vec<_>>(), "{catch_up:?} at {now}");
        let given_up = owed.missed.map(|missed| (missed.first, missed.last));
        assert_eq!(given_up, missed.map(|(first, last)| (day(first), day(last))), "{catch_up:?} at {now}");
        assert!(owed.next.is_some_and(|next| next > now));
    }

    #[test]
    fn in_good_time_each_rule_fires_once() {
        for catch_up in CatchUp::ALL {
            check(catch_up, "09:59:59", &[], None);
            check(catch_up, "10:00:00", &[10], None);
            check(catch_up, "10:01:30", &[10], None);
        }
    }

    #[test]
    fn what_was_missed_is_made_up_for_as_the_rule_says() {
        check(CatchUp::Skip, "10:02:00", &[], Some((10, 10)));
        check(CatchUp::One, "10:02:00", &[10], None);
        check(CatchUp::All, "10:02:00", &[10], None);
        check(CatchUp::Skip, "13:30:00", &[], Some((10, 13)));
        check(CatchUp::One, "13:30:00", &[13], Some((10, 12)));
        check(CatchUp::All, "13:30:00", &[10, 11, 12, 13], None);
        // The newest is in time: it fires whatever is said of the others.
        check(CatchUp::Skip, "13:00:10", &[13], Some((10, 12)));
    }

    #[test]
    fn making_up_for_all_has_a_bound_and_says_so() {
        let (due, now) = (utc("2026-01-01T00:00:00Z"), utc("2026-06-01T00:30:00Z"));
        let owed = backlog(&hourly(CatchUp::All), due, due, now);
        assert_eq!((owed.fire.len(), owed.fire.last()), (MOST, Some(&utc("2026-06-01T00:00:00Z"))));
        let missed = owed.missed.expect("it says so");
        assert_eq!((missed.first, missed.last), (due, owed.fire[0] - TimeDelta::hours(1)));
        assert!(missed.why.contains("100"), "{}", missed.why);
    }

    #[test]
    fn years_of_seconds_are_not_walked_through() {
        let made = utc("1990-01-01T00:00:00Z");
        let rules =
            Rules { timing: Timing::every(Duration::from_secs(1)).expect("long enough"), ..hourly(CatchUp::All) };
        let owed = backlog(&rules, made, made, utc("2026-01-01T00:00:00Z"));
        assert_eq!(owed.fire.len(), MOST);
    }

    #[test]
    fn a_clock_that_is_put_back_does_not_keep_the_schedule_waiting() {
        let (due, now) = (utc("2040-01-01T00:00:00Z"), utc("2026-06-01T00:30:00Z"));
        let owed = backlog(&hourly(CatchUp::One), due, now, now);
        assert_eq!(owed, Backlog { next: Some(utc("2026-06-01T01:00:00Z")), ..Backlog::default() });
    }

    proptest! {
        /// Whatever the looks: with `all` and looks often enough each time fires exactly once, in order.
        #[test]
        fn looks_at_any_moments_lose_nothing_and_repeat_nothing(gaps in prop::collection::vec(0..40_000i64, 1..60)) {
            let made = utc("2026-03-28T20:17:00Z");
            let rules = hourly(CatchUp::All);
            let (mut now, mut due) = (made, rules.next(made, made).expect("next"));
            let mut fired = Vec::new();
            for gap in gaps {
                now += TimeDelta::seconds(gap);
                let owed = backlog(&rules, due, made, now);
                prop_assert_eq!(owed.missed, None);
                fired.extend(owed.fire);
                due = owed.next.expect("there is always one");
            }
            let all = std::iter::successors(rules.next(made, made), |last| rules.next(*last, made));
            let expected: Vec<_> = all.take_while(|time| *time <= now).collect();
            prop_assert_eq!(fired, expected);
        }

        #[test]
        fn one_and_skip_never_fire_more_than_once_a_look(late in 0..10_000_000i64) {
            let made = utc("2026-03-28T20:17:00Z");
            for catch_up in [CatchUp::One, CatchUp::Skip] {
                let rules = hourly(catch_up);
                let due = rules.next(made, made).expect("next");
                let owed = backlog(&rules, due, made, due + TimeDelta::seconds(late));
                prop_assert!(owed.fire.len() <= 1);
                prop_assert!(catch_up == CatchUp::Skip || owed.fire.len() == 1);
            }
        }
    }
}
