//! The rules of the book, by stories and by any series of readings.
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::alerts::rule::parse;

static START: LazyLock<Instant> = LazyLock::new(crate::clock::now);

fn at(seconds: u64) -> Moment {
    let wall = DateTime::from_timestamp(1_700_000_000 + seconds as i64, 0).expect("in range");
    Moment { mono: *START + Duration::from_secs(seconds), wall }
}

fn book(hold: &str) -> Book {
    let text = format!(
        "[[rule]]\nname = \"busy\"\nmetric = \"host.cpu_ratio\"\nabove = 0.9\nclear = 0.5\nfor = \"{hold}\"\n\
         severity = \"warning\"\nsummary = \"busy\"\naction = \"reduce-agent-concurrency\"\n"
    );
    Book::new(parse(&text).expect("good"))
}

fn told(book: &mut Book, seconds: u64, value: f64) -> Vec<What> {
    let changes = book.observe(&[Sample::new("host.cpu_ratio", value)], at(seconds));
    changes.into_iter().map(|change| change.what).collect()
}

#[test]
fn a_breach_is_pending_then_fires_once_and_ends_beyond_the_clear_threshold() {
    let mut book = book("10s");
    assert_eq!(told(&mut book, 0, 0.95), [What::Pending]);
    assert_eq!(told(&mut book, 9, 0.95), []);
    assert_eq!(told(&mut book, 10, 0.95), [What::Raised]);
    assert_eq!(told(&mut book, 11, 0.99), []);
    assert_eq!(told(&mut book, 12, 0.7), [], "between the thresholds nothing changes");
    assert_eq!(book.called_for().count(), 1);
    assert_eq!(told(&mut book, 13, 0.5), [What::Resolved]);
    assert_eq!(book.called_for().count(), 0);
    assert_eq!(told(&mut book, 14, 0.7), []);
}

#[test]
fn a_short_breach_is_forgotten() {
    let mut book = book("10s");
    told(&mut book, 0, 0.95);
    assert_eq!(told(&mut book, 5, 0.85), [What::Forgotten]);
    assert_eq!(told(&mut book, 6, 0.95), [What::Pending], "its time begins anew");
    assert_eq!(told(&mut book, 15, 0.95), []);
    assert_eq!(told(&mut book, 16, 0.95), [What::Raised]);
}

#[test]
fn silence_is_not_health() {
    let mut book = book("0s");
    assert_eq!(told(&mut book, 0, 0.95), [What::Raised]);
    assert_eq!(book.observe(&[], at(1_000)), []);
    assert_eq!(book.alerts().next().map(|alert| alert.state), Some(State::Firing));
}

#[test]
fn each_thing_has_an_alert_of_its_own() {
    let text = "[[rule]]\nname = \"open\"\nmetric = \"agents.breaker_open\"\nabove = 0.5\nseverity = \"warning\"\nsummary = \"x\"\n";
    let mut book = Book::new(parse(text).expect("good"));
    let sample = |of: &str, value| Sample::of("agents.breaker_open", of, value);
    let raised = book.observe(&[sample("A", 1.0), sample("B", 1.0), sample("C", 0.0)], at(0));
    assert_eq!(raised.len(), 2);
    assert_ne!(raised[0].alert.fingerprint, raised[1].alert.fingerprint);
    assert_eq!(raised[0].alert.labels["of"], "A");
    let again = book.observe(&[sample("A", 0.0), sample("B", 1.0)], at(1));
    assert_eq!((again.len(), again[0].what), (1, What::Resolved));
}

#[test]
fn an_acknowledged_alert_goes_on_firing_and_forgets_it_when_it_resolves() {
    let mut book = book("0s");
    told(&mut book, 0, 0.95);
    let fingerprint = book.alerts().next().expect("one").fingerprint.clone();
    let ack = Ack { by: "token:x".into(), comment: "seen".into(), at: at(1).wall };
    assert!(book.acknowledge(&fingerprint, ack.clone()).is_some());
    assert!(book.acknowledge("nothing", ack).is_none());
    assert_eq!(told(&mut book, 2, 0.95), []);
    told(&mut book, 3, 0.1);
    assert_eq!(book.alerts().next().and_then(|alert| alert.ack.clone()), None);
}

#[test]
fn what_goes_to_and_fro_is_flapping_and_calls_for_nothing() {
    let mut book = book("0s");
    for round in 0..3 {
        told(&mut book, round * 2, 0.95);
        assert_eq!(book.called_for().count(), usize::from(round < 2), "round {round}");
        told(&mut book, round * 2 + 1, 0.1);
    }
    told(&mut book, 2_000, 0.95);
    assert_eq!(book.called_for().count(), 1, "it was quiet for long enough");
}

#[test]
fn one_that_fires_on_after_it_flapped_calls_for_its_action_again() {
    let mut book = book("0s");
    for round in 0..3 {
        told(&mut book, round * 2, 0.95);
        assert_eq!(book.called_for().count(), usize::from(round < 2));
        if round < 2 {
            told(&mut book, round * 2 + 1, 0.1);
        }
    }
    told(&mut book, 500, 0.95);
    assert_eq!(book.called_for().count(), 0, "its changes are of the last ten minutes");
    told(&mut book, 700, 0.95);
    assert_eq!(book.called_for().count(), 1);
}

#[test]
fn a_breach_that_does_not_last_does_not_undo_what_was_resolved() {
    let mut book = book("10s");
    told(&mut book, 0, 0.95);
    told(&mut book, 10, 0.95);
    assert_eq!(told(&mut book, 20, 0.1), [What::Resolved]);
    assert_eq!(told(&mut book, 30, 0.95), [What::Pending]);
    assert_eq!(told(&mut book, 35, 0.1), [What::Forgotten]);
    let shown = book.alerts().next().expect("it is still shown");
    assert_eq!((shown.state, shown.resolved), (State::Resolved, Some(at(20).wall)));
    assert_eq!(told(&mut book, 40, 0.95), [What::Pending]);
    assert_eq!(book.observe(&[], at(71))[0].what, What::Forgotten, "its metric is not read any more");
    assert_eq!(book.observe(&[], at(20 + 900)), []);
    assert_eq!(book.observe(&[], at(20 + 901))[0].what, What::Dropped, "a quarter of an hour after its end");
}

#[test]
fn an_alert_of_before_is_of_the_present_rule() {
    let mut before = book("0s");
    told(&mut before, 0, 0.95);
    let mut firing: Vec<Alert> = before.alerts().cloned().collect();
    firing[0].flapping = true;
    let text =
        "[[rule]]\nname = \"busy\"\nmetric = \"host.cpu_ratio\"\nabove = 0.8\nseverity = \"info\"\nsummary = \"new\"\n";
    let mut after = Book::new(parse(text).expect("good"));
    after.restore(firing.clone(), at(5));
    let alert = after.alerts().next().expect("one").clone();
    assert_eq!((alert.threshold, alert.summary.as_str(), alert.action, alert.flapping), (0.8, "new", None, false));

    // Read late: it was raised anew meanwhile, and the older one ends.
    let mut late = book("0s");
    told(&mut late, 20, 0.95);
    let ended = late.restore(firing, at(21));
    assert_eq!((ended.len(), ended[0].what, ended[0].alert.fired), (1, What::Superseded, Some(at(0).wall)));
    assert_eq!(late.alerts().next().map(|alert| (alert.state, alert.fired)), Some((State::Firing, Some(at(20).wall))));
}

#[test]
fn a_firing_alert_is_taken_up_after_a_restart_without_being_raised_anew() {
    let mut before = book("0s");
    told(&mut before, 0, 0.95);
    let firing: Vec<Alert> = before.alerts().cloned().collect();
    let mut after = book("0s");
    assert_eq!(after.restore(firing.clone(), at(5)), []);
    assert_eq!(told(&mut after, 6, 0.95), []);
    assert_eq!(told(&mut after, 7, 0.1), [What::Resolved]);
    let ended = Book::new(Vec::new()).restore(firing, at(5));
    assert_eq!((ended.len(), ended[0].what), (1, What::Resolved));
}

proptest! {
    /// Whatever is read: an alert is raised only after its time, and raised and resolved take turns.
    #[test]
    fn raised_and_resolved_take_turns(readings in prop::collection::vec((1_u64..20, 0.0..1.2_f64), 1..200)) {
        let mut book = book("15s");
        let (mut now, mut firing, mut breach_since) = (0, false, None);
        for (step, value) in readings {
            now += step;
            if value > 0.9 { breach_since.get_or_insert(now); } else if !firing { breach_since = None; }
            for what in told(&mut book, now, value) {
                match what {
                    What::Raised => {
                        prop_assert!(!firing);
                        prop_assert!(breach_since.is_some_and(|since| now - since >= 15));
                        firing = true;
                    }
                    What::Resolved => {
                        prop_assert!(firing && value <= 0.5);
                        firing = false;
                        breach_since = None;
                    }
                    _ => prop_assert!(!firing),
                }
            }
        }
    }
}
