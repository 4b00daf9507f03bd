//! Due times by tables: time zones, both changes of the clock, intervals.
use proptest::prelude::*;

use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn rules(timing: Timing, zone_name: &str) -> Rules {
    let zone = zone(zone_name).expect("a zone");
    Rules { timing, zone, catch_up: CatchUp::default(), overlap: Overlap::default() }
}

fn cron(text: &str, zone: &str) -> Rules {
    rules(Timing::cron(text, utc("2026-01-01T00:00:00Z")).expect("a pattern"), zone)
}

/// The times after this one, as the wall of the zone shows them.
fn check(pattern: &str, zone: &str, after: &str, expected: &[&str]) {
    let found = cron(pattern, zone).upcoming(utc(after), utc(after), expected.len());
    let found: Vec<String> = found.iter().map(|time| time.format("%m-%d %H:%M %z").to_string()).collect();
    assert_eq!(found, expected, "{pattern} in {zone}");
}

#[test]
fn a_pattern_is_about_the_wall_clock_of_its_zone() {
    check("0 3 * * *", "UTC", "2026-06-01T03:00:00Z", &["06-02 03:00 +0000", "06-03 03:00 +0000"]);
    check("0 3 * * *", "Europe/Berlin", "2026-06-01T00:59:59.5Z", &["06-01 03:00 +0200", "06-02 03:00 +0200"]);
    check("0 3 * * *", "Europe/Berlin", "2026-06-01T01:00:00.3Z", &["06-02 03:00 +0200"]);
    check("30 9 * * 1-5", "Asia/Kolkata", "2026-05-29T12:00:00Z", &["06-01 09:30 +0530", "06-02 09:30 +0530"]);
    check("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["02-29 00:00 +0000"]);
    check("@daily", "UTC", "2026-06-01T03:00:00Z", &["06-02 00:00 +0000"]);
}

/// On 29 March 2026 the clocks of Berlin go from 02:00 to 03:00.
#[test]
fn a_time_in_the_gap_of_spring_is_due_when_the_gap_ends() {
    let eve = "2026-03-28T12:00:00Z";
    check("30 2 * * *", "Europe/Berlin", eve, &["03-29 03:00 +0200", "03-30 02:30 +0200"]);
    check("30 3 * * *", "Europe/Berlin", eve, &["03-29 03:30 +0200", "03-30 03:30 +0200"]);
    let night = "2026-03-29T00:30:00Z";
    check("*/30 * * * *", "Europe/Berlin", night, &["03-29 03:00 +0200", "03-29 03:30 +0200"]);
    check("15 1,2,3 * * *", "Europe/Berlin", eve, &["03-29 01:15 +0100", "03-29 03:15 +0200"]);
}

/// On 25 October 2026 they go from 03:00 back to 02:00.
#[test]
fn an_hour_that_comes_twice_in_autumn_counts_once_for_a_fixed_time_and_twice_for_the_rest() {
    let eve = "2026-10-24T12:00:00Z";
    check("30 2 * * *", "Europe/Berlin", eve, &["10-25 02:30 +0200", "10-26 02:30 +0100"]);
    let night = "2026-10-25T00:00:00Z";
    let both = ["10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100", "10-25 03:00 +0100"];
    check("*/30 * * * *", "Europe/Berlin", night, &both);
}

#[test]
fn an_interval_counts_real_time_from_when_the_schedule_was_made() {
    let made = utc("2026-03-28T12:00:00Z");
    let daily = rules(Timing::every(Duration::from_secs(86_400)).expect("long enough"), "Europe/Berlin");
    assert_eq!(daily.next(made, made), Some(utc("2026-03-29T12:00:00Z")), "the short day of spring is no matter");
    assert_eq!(daily.next(utc("2026-04-05T13:00:00Z"), made), Some(utc("2026-04-06T12:00:00Z")));
    assert_eq!(daily.next(utc("2020-01-01T00:00:00Z"), made), Some(utc("2026-03-29T12:00:00Z")), "a clock set back");
}

#[test]
fn what_is_no_time_is_refused_with_the_text() {
    let now = utc("2026-01-01T00:00:00Z");
    for text in ["", "x", "* * * *", "0 0 3 * * *", "61 * * * *", "0 24 * * *", "0 0 3 * * * 2027"] {
        assert!(matches!(Timing::cron(text, now), Err(BadTiming::Pattern { .. })), "{text}");
    }
    assert_eq!(Timing::cron("0 0 30 2 *", now), Err(BadTiming::Never("0 0 30 2 *".to_owned())));
    assert!(Timing::every(Duration::from_millis(999)).is_err());
    assert_eq!(zone("Europe/Atlantis"), Err(BadTiming::Zone("Europe/Atlantis".to_owned())));
}

proptest! {
    /// Whatever the pattern and the zone: times only grow, each is on a whole minute and has one next.
    #[test]
    fn the_next_time_is_later_and_nothing_lies_between(
        minute in prop_oneof![Just("*/7".to_owned()), (0..60u8).prop_map(|m| m.to_string())],
        hour in prop_oneof![Just("*".to_owned()), Just("1,2,3".to_owned()), (0..24u8).prop_map(|h| h.to_string())],
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        second in 0..31_536_000i64,
        back in 1..100_000i64,
    ) {
        let rules = cron(&format!("{minute} {hour} * * *"), zone);
        let after = utc("2026-01-01T00:00:00Z") + TimeDelta::seconds(second);
        let next = rules.next(after, after).expect("each day has one");
        prop_assert!(next > after);
        prop_assert_eq!(next.timestamp() % 60, 0);
        // From anywhere before it the same time is found, unless an earlier one is.
        let earlier = rules.next(after - TimeDelta::seconds(back), after).expect("as well");
        prop_assert!(earlier <= next);
        prop_assert!(earlier == next || earlier <= after, "{earlier} was passed over");
        prop_assert_eq!(rules.next(next - TimeDelta::microseconds(1), after), Some(next));
    }

    #[test]
    fn intervals_are_even(every in 1_000..100_000_000u64, passed in 0..1_000_000_000i64) {
        let made = utc("2026-01-01T00:00:00.123456Z");
        let rules = rules(Timing::every(Duration::from_millis(every)).expect("long enough"), "UTC");
        let after = made + TimeDelta::milliseconds(passed);
        let next = rules.next(after, made).expect("there is one");
        let step = TimeDelta::milliseconds(i64::try_from(every).expect("small"));
        prop_assert!(next > after && next - step <= after);
        prop_assert_eq!(rules.next(next, made), Some(next + step));
    }
}
