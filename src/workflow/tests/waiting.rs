//! Steps that wait: for a time, a signal, a decision.
use std::sync::Arc;

use serde_json::{Value, json};

use crate::ids::SignalName;
use crate::workflow::advance::Trigger;
use crate::workflow::hold::digest_of;
use crate::workflow::status::Hold;
use crate::workflow::status::RunStatus;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::at;
use crate::workflow::tests::support::ok;
use crate::workflow::tests::support::planned;
use crate::workflow::tests::support::step_id;

fn sequence(steps: Value) -> Bench {
    Bench::start(json!({"name": "t", "mode": "sequential", "steps": steps}))
}

fn signal(name: &str, payload: Value) -> Trigger {
    let name = SignalName::new(name).expect("a signal name");
    Trigger::Signal { name, payload: Arc::new(payload), by: "token:x".into() }
}

fn decide(step: &str, approved: bool) -> Trigger {
    Trigger::Decide { step: step_id(step), approved, by: "token:x".into(), digest: None, comment: Some("since".into()) }
}

const ECHO: fn(&str) -> Value = |id| json!({"id": id, "agent": "TESTBED", "tool": "cp.echo"});

#[test]
fn a_sleep_ends_when_its_time_has_come_also_after_a_crash() {
    let mut bench = sequence(json!([{"id": "wait", "sleep": "90s"}, ECHO("a")]));
    assert_eq!((bench.statuses(), bench.run.status()), ("wait:running a:pending".to_owned(), RunStatus::Running));
    bench.now = at(30);
    bench.crash(bench.journal.len());
    assert_eq!(bench.wake, Some(at(90)));
    bench.sleep();
    assert_eq!(bench.at_work(), ["a#1"]);
    bench.answer("a", ok(json!(1)));
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
}

#[test]
fn a_signal_is_given_to_the_step_that_waits_and_kept_for_one_that_will() {
    let mut bench = sequence(json!([
        ECHO("a"),
        {"id": "go", "wait_for": "go", "timeout": "5m"},
        {"id": "b", "agent": "TESTBED", "tool": "cp.echo", "input": {"x": "${steps.go.data.n}"}},
    ]));
    bench.trigger(signal("stop", json!(1)));
    assert_eq!(bench.journal.len(), 2, "nobody waits for it");
    bench.trigger(signal("go", json!({"n": 7})));
    bench.trigger(signal("go", json!({"n": 8})));
    assert_eq!(bench.journal.len(), 3, "one step waits for one signal");
    bench.crash(bench.journal.len());
    bench.answer("a", ok(json!(1)));
    assert_eq!(bench.input_of("b"), json!({"x": 7}));

    let mut bench = sequence(json!([{"id": "go", "wait_for": "go", "timeout": "5m"}, ECHO("a")]));
    assert_eq!(bench.run.status(), RunStatus::Waiting);
    bench.trigger(signal("go", Value::Null));
    assert_eq!((bench.run.status(), bench.at_work()), (RunStatus::Running, vec!["a#1".to_owned()]));

    let mut bench = sequence(json!([{"id": "go", "wait_for": "go", "timeout": "5m"}, ECHO("a")]));
    bench.sleep();
    assert_eq!((bench.now, bench.statuses().as_str()), (at(300), "go:timed_out a:skipped"));
}

#[test]
fn what_is_done_after_approval_is_exactly_what_was_shown() {
    let step = json!({"id": "b", "agent": "PATCHER", "tool": "pkg.upgrade", "input": {"x": "${steps.a.data}"},
                      "approve": {"role": "admin", "expires": "1h"}});
    let mut bench = sequence(json!([ECHO("a"), step]));
    bench.answer("a", ok(json!(5)));
    assert_eq!((bench.run.status(), bench.statuses().as_str()), (RunStatus::Waiting, "a:succeeded b:waiting_approval"));
    let shown = bench.run.step(&step_id("b")).expect("a step").clone();
    assert_eq!(shown.to_approve(), Some(&json!({"x": 5})));
    assert_eq!(shown.asked().expect("asked").digest, Some(digest_of(&json!({"x": 5}))));
    let other = Trigger::Decide {
        step: step_id("b"),
        approved: true,
        by: "token:x".into(),
        digest: Some(digest_of(&json!({"x": 6}))),
        comment: None,
    };
    bench.trigger(other);
    assert!(bench.at_work().is_empty(), "something else was approved");
    bench.crash(bench.journal.len());
    bench.trigger(decide("b", true));
    assert_eq!((bench.at_work(), bench.input_of("b")), (vec!["b#1".to_owned()], json!({"x": 5})));
    bench.answer("b", ok(json!(1)));
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
}

#[test]
fn a_gate_opens_stays_shut_or_expires() {
    let gate = json!([{"id": "gate", "approve": {"expires": "10m", "reason": "before the rest"}}, ECHO("a")]);
    let mut bench = sequence(gate.clone());
    bench.trigger(decide("gate", true));
    assert_eq!(bench.at_work(), ["a#1"]);
    let given = bench.run.step(&step_id("gate")).and_then(|step| step.output()).expect("an output").data.clone();
    assert_eq!(given, json!({"approved_by": "token:x", "comment": "since"}));

    let mut bench = sequence(gate.clone());
    bench.trigger(decide("gate", false));
    assert_eq!((bench.statuses().as_str(), bench.run.status()), ("gate:denied a:skipped", RunStatus::Failed));

    let mut bench = sequence(gate.clone());
    bench.sleep();
    assert_eq!((bench.now, bench.statuses().as_str()), (at(600), "gate:timed_out a:skipped"));
    bench.trigger(decide("gate", true));
    assert_eq!(bench.run.status(), RunStatus::Failed, "it is too late");

    let mut bench = sequence(gate);
    bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: false });
    assert_eq!((bench.statuses().as_str(), bench.run.status()), ("gate:cancelled a:skipped", RunStatus::Cancelled));
}

#[test]
fn a_change_is_approved_by_its_plan() {
    let step =
        json!({"id": "w", "agent": "WRITER", "tool": "fs.write", "timeout": "30s", "approve": {"expires": "1h"}});
    let mut bench = sequence(json!([step]));
    bench.call("w", planned("x"));
    assert_eq!(bench.statuses(), "w:waiting_approval");
    let shown = bench.run.step(&step_id("w")).expect("a step").to_approve().cloned();
    assert_eq!(shown, Some(json!({"write": "x"})));
    bench.now = at(1_000);
    bench.crash(bench.journal.len());
    assert_eq!(bench.run.step(&step_id("w")).and_then(|step| step.held_on()), Some(Hold::Approval));
    bench.trigger(decide("w", true));
    assert_eq!(bench.timeouts().len(), 1);
    assert!(bench.timeouts()[0].as_secs() >= 30, "its own time stood still: {:?}", bench.timeouts());
    bench.call("w", ok(json!(1)));
    assert_eq!((bench.run.status(), bench.statuses().as_str()), (RunStatus::Succeeded, "w:succeeded"));

    let mut bench = sequence(json!([{"id": "w", "agent": "WRITER", "approve": {"expires": "1h"}}]));
    bench.call("w", planned("x"));
    bench.trigger(decide("w", false));
    assert_eq!((bench.statuses().as_str(), bench.run.has_changes()), ("w:denied", false));
}

#[test]
fn a_paused_run_takes_signals_and_decisions_and_begins_nothing() {
    let mut bench = sequence(json!([{"id": "go", "wait_for": "go"}, ECHO("a")]));
    bench.trigger(Trigger::Pause { by: "token:x".into() });
    bench.trigger(signal("go", json!(1)));
    assert_eq!((bench.statuses().as_str(), bench.at_work().len()), ("go:succeeded a:pending", 0));
    bench.trigger(Trigger::Resume { by: "token:x".into() });
    assert_eq!(bench.at_work(), ["a#1"]);
}
