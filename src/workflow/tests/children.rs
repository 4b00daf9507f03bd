//! Steps that run a playbook: what is refused, how a child is begun, how its end is the step's, and how it is steered.
use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::toolkit::output::Status;
use crate::workflow::advance::Acceptance;
use crate::workflow::advance::Answer;
use crate::workflow::advance::STOP_GRACE;
use crate::workflow::advance::Trigger;
use crate::workflow::check::check;
use crate::workflow::child;
use crate::workflow::child::ChildEnd;
use crate::workflow::child::Parent;
use crate::workflow::plan::Priority;
use crate::workflow::run::Run;
use crate::workflow::status::RunStatus;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::START;
use crate::workflow::tests::support::ok;
use crate::workflow::tests::support::plan;
use crate::workflow::tests::support::planned;
use crate::workflow::tests::support::step_id;
use crate::workflow::tests::support::world;
use crate::workflow::world::World;

fn by() -> String {
    "token:x".to_owned()
}

fn one(step: Value) -> Value {
    json!({"name": "t", "priority": "critical", "inputs": {"root": "/srv"}, "steps": [step]})
}

fn scan() -> Value {
    json!({"id": "s", "playbook": "scan"})
}

/// How the child of `step` ends.
fn end(bench: &Bench, step: &str, status: RunStatus, has_changes: bool) -> Answer {
    let (child, _) = bench.child(step);
    let results = json!({"a": {"at": "/srv"}}).as_object().cloned().expect("an object");
    Answer::Child(ChildEnd { status, has_changes, results, ..ChildEnd::of_none(child) })
}

fn refused(document: &Value, world: &World) -> Vec<(String, String)> {
    let faults = check(document, world).expect_err("it is wrong");
    faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
}

/// A world with playbooks that each run the next ones.
fn chained(playbooks: &[(&str, &[&str])]) -> World {
    let document = |(name, runs): &(&str, &[&str])| {
        let step = |(at, runs): (usize, &&str)| json!({"id": format!("s{at}"), "playbook": runs});
        let mut steps: Vec<Value> = runs.iter().enumerate().map(step).collect();
        steps.push(json!({"id": "last", "agent": "TESTBED"}));
        ((*name).to_owned(), json!({"name": name, "steps": steps}))
    };
    World { playbooks: playbooks.iter().map(document).collect::<BTreeMap<_, _>>(), ..world() }
}

#[test]
fn what_a_step_says_about_its_playbook_is_checked_at_submission() {
    let check = |step: Value, pointer: &str, detail: &str| {
        let faults = refused(&one(step), &world());
        let found = faults.iter().any(|(at, told)| at == pointer && told.contains(detail));
        assert!(found, "no `{detail}` at {pointer} in {faults:?}");
    };
    check(json!({"id": "s", "playbook": "scam"}), "/steps/0/playbook", "did you mean `scan`?");
    check(json!({"id": "s", "playbook": 1}), "/steps/0/playbook", "must be text");
    check(json!({"id": "s", "playbook": "broken"}), "/steps/0/playbook", "NOBODY");
    let with = |key: &str, value: Value| {
        let mut step = scan();
        step[key] = value;
        step
    };
    check(with("agent", json!("TESTBED")), "/steps/0/agent", "has no `agent`");
    check(with("input", json!({})), "/steps/0/input", "it has `inputs`");
    check(with("sleep", json!("1s")), "/steps/0/playbook", "a step that sleeps");
    check(with("inputs", json!([])), "/steps/0/inputs", "an object");
    check(with("inputs", json!({"rot": 1})), "/steps/0/inputs/rot", "did you mean `root`?");
    check(with("inputs", json!({"root": "${inputs.rot}"})), "/steps/0/inputs/root", "there is no input `rot`");
    check(with("inputs", json!({"root": "x".repeat(20_000)})), "/steps/0/inputs", "10000 bytes");
    check(json!({"id": "s", "agent": "TESTBED", "inputs": {}}), "/steps/0/inputs", "`playbook`");
}

#[test]
fn playbooks_do_not_run_each_other_for_ever() {
    let circle = chained(&[("a", &["b"]), ("b", &["a"])]);
    let faults = refused(&one(json!({"id": "s", "playbook": "a"})), &circle);
    let [(pointer, detail)] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(pointer, "/steps/0/playbook");
    assert!(detail.contains("`a` -> `b` -> `a`"), "{detail}");
    // Nine of them, each inside the one before.
    let names: Vec<String> = (0..9).map(|n| format!("p{n}")).collect();
    let runs: Vec<Vec<&str>> = (0..9).map(|n| names.get(n + 1).map(String::as_str).into_iter().collect()).collect();
    let deep: Vec<_> = names.iter().map(String::as_str).zip(runs.iter().map(Vec::as_slice)).collect();
    let deep = chained(&deep);
    let faults = refused(&one(json!({"id": "s", "playbook": "p0"})), &deep);
    assert!(faults.len() == 1 && faults[0].1.contains("more than the 8"), "{faults:?}");
    check(&one(json!({"id": "s", "playbook": "p1"})), &deep).expect("eight are allowed");
    // 1 + 5 * (5 + 5 * (5 + 5 * 1)) and so on: without a count of all of them nobody would see the end of it.
    let wide = chained(&[("a", &["b"; 5]), ("b", &["c"; 5]), ("c", &["d"; 5]), ("d", &[])]);
    let faults = refused(&one(json!({"id": "s", "playbook": "a"})), &wide);
    assert!(!faults.is_empty() && faults.iter().all(|(pointer, _)| pointer == "/steps/0/playbook"), "{faults:?}");
    assert!(faults[0].1.contains("more than the 100 allowed"), "{faults:?}");
}

#[test]
fn a_child_is_named_in_the_journal_before_it_is_begun_and_is_the_same_after_a_crash() {
    let step = json!({"id": "s", "playbook": "scan", "inputs": {"root": "${inputs.root}"}, "timeout": "40s"});
    let mut bench = Bench::start(one(step));
    let (child, of_child) = bench.child("s");
    assert_eq!(child.begun(), Some(START), "lists find it by the time in its id");
    assert_eq!((of_child.name(), of_child.inputs()), ("scan", &json!({"root": "/srv"})));
    assert_eq!((of_child.priority(), of_child.timeout().as_secs()), (Priority::Critical, 40));
    assert_eq!(of_child.labels()[child::LABEL], bench.run.id().to_string());
    assert!(bench.journal[1].1.contains(&child.to_string()));
    bench.now += TimeDelta::seconds(7);
    bench.crash(2);
    assert_eq!(bench.at_work(), ["child s#1 again"]);
    assert_eq!(bench.child("s"), (child, of_child));
    assert_eq!(bench.held, Some(false), "it goes on, should it have been told to wait");
    let ended = end(&bench, "s", RunStatus::Succeeded, false);
    bench.call("s", ended);
    let data = &bench.run.step(&step_id("s")).expect("a step").output().expect("an output").data;
    assert_eq!((&data["workflow_id"], &data["status"]), (&json!(child), &json!("succeeded")));
    assert_eq!(data["results"], json!({"a": {"at": "/srv"}}));
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
}

#[test]
fn the_end_of_a_child_is_the_result_of_its_step() {
    let check = |status: RunStatus, in_part: bool, word: &str, code: Option<&str>| {
        let mut bench = Bench::start(one(scan()));
        let Answer::Child(ended) = end(&bench, "s", status, false) else { panic!("a child") };
        bench.call("s", Answer::Child(ChildEnd { in_part, ..ended }));
        assert_eq!(bench.statuses(), format!("s:{word}"));
        let output = bench.run.step(&step_id("s")).expect("a step").output().expect("an output");
        assert_eq!(output.reason.as_ref().map(|reason| reason.code.as_str()), code);
    };
    check(RunStatus::Succeeded, false, "succeeded", None);
    check(RunStatus::Succeeded, true, "degraded", Some("child_degraded"));
    check(RunStatus::Failed, true, "failed", Some("child_failed"));
    check(RunStatus::TimedOut, false, "timed_out", Some("child_timed_out"));
    check(RunStatus::Cancelled, false, "cancelled", Some("child_cancelled"));
    check(RunStatus::RolledBack, false, "failed", Some("child_rolled_back"));
    check(RunStatus::NeedsHuman, false, "failed", Some("child_needs_human"));
}

#[test]
fn results_that_are_too_large_are_left_out_and_the_rest_is_kept() {
    let mut bench = Bench::start(one(scan()));
    let (child, _) = bench.child("s");
    let results = json!({"a": "x".repeat(20_000)}).as_object().cloned().expect("an object");
    let ended = ChildEnd { status: RunStatus::Succeeded, results, ..ChildEnd::of_none(child) };
    bench.call("s", Answer::Child(ended));
    let data = &bench.run.step(&step_id("s")).expect("a step").output().expect("an output").data;
    assert_eq!((&data["workflow_id"], &data["results"]), (&json!(child), &Value::Null));
    assert_eq!(bench.statuses(), "s:succeeded");
}

#[test]
fn each_attempt_and_each_item_is_a_child_of_its_own() {
    let step = json!({"id": "s", "playbook": "scan", "for_each": ["/a", "/b"], "max_parallel": 1,
        "inputs": {"root": "${item}"}, "retry": {"max_attempts": 2, "initial": "1s", "jitter": "none"}});
    let mut bench = Bench::start(one(step));
    let (first, of_first) = bench.child("s[0]");
    assert_eq!(of_first.inputs(), &json!({"root": "/a"}));
    let failed = end(&bench, "s[0]", RunStatus::Failed, false);
    bench.call("s[0]", failed);
    // The other item takes the seat only when the first has ended.
    bench.sleep();
    let (second, of_second) = bench.child("s[0]");
    assert_ne!(first, second);
    assert_eq!(of_second.inputs(), &json!({"root": "/a"}));
    let good = end(&bench, "s[0]", RunStatus::Succeeded, false);
    bench.call("s[0]", good);
    assert_eq!(bench.child("s[1]").1.inputs(), &json!({"root": "/b"}));
    let good = end(&bench, "s[1]", RunStatus::Succeeded, false);
    bench.call("s[1]", good);
    assert_eq!(bench.statuses(), "s:succeeded s[0]:succeeded s[1]:succeeded");
}

#[test]
fn a_child_that_found_no_seat_uses_up_no_attempt() {
    let mut bench = Bench::start(one(scan()));
    let refused = Answer::Refused { retry_after: std::time::Duration::from_secs(1), detail: "full".into() };
    bench.call("s", refused);
    assert!(!bench.run.has_changes(), "it was not begun");
    bench.sleep();
    assert_eq!(bench.at_work(), ["child s#1"]);
}

#[test]
fn what_is_approved_is_what_the_child_is_given() {
    let mut step = scan();
    step["approve"] = json!({});
    let mut bench = Bench::start(one(step));
    let state = bench.run.step(&step_id("s")).expect("a step");
    assert_eq!((bench.at_work().len(), state.to_approve()), (0, Some(&json!({"root": "/etc"}))));
    bench.trigger(Trigger::Decide { step: step_id("s"), approved: true, by: by(), digest: None, comment: None });
    assert_eq!(bench.child("s").1.inputs(), &json!({"root": "/etc"}));
}

#[test]
fn children_wait_and_go_on_and_end_with_their_parent() {
    let mut bench = Bench::start(one(scan()));
    bench.trigger(Trigger::Pause { by: by() });
    assert_eq!(bench.held, Some(true));
    bench.trigger(Trigger::Resume { by: by() });
    assert_eq!(bench.held, Some(false));
    bench.trigger(Trigger::Cancel { by: by(), undo: false });
    assert_eq!(bench.stopped, [(step_id("s"), 1)]);
    // It may take its time: what it changed is undone by then, if its playbook says so.
    bench.now += TimeDelta::from_std(STOP_GRACE).expect("a duration") * 3;
    bench.trigger(Trigger::Wake);
    assert!(!bench.ended);
    let ended = end(&bench, "s", RunStatus::RolledBack, false);
    bench.call("s", ended);
    assert_eq!((bench.statuses().as_str(), bench.run.status()), ("s:cancelled", RunStatus::Cancelled));
}

#[test]
fn a_child_is_told_again_to_end_after_a_crash() {
    let mut bench = Bench::start(one(scan()));
    bench.trigger(Trigger::Cancel { by: by(), undo: false });
    bench.stopped.clear();
    bench.crash(bench.journal.len());
    assert_eq!(bench.at_work(), ["child s#1 again"]);
    assert_eq!(bench.stopped, [(step_id("s"), 1)]);
}

#[test]
fn a_child_that_a_person_paused_does_not_go_on_with_its_parent() {
    let parent = Parent { run: crate::ids::RunId(uuid::Uuid::from_u128(9)), step: step_id("s") };
    let name = parent.name();
    let acceptance = Acceptance {
        plan: plan(one(json!({"id": "a", "agent": "TESTBED"}))),
        by: by(),
        carried: Vec::new(),
        paused_by: None,
        parent: Some(parent),
    };
    let (mut run, _) = Run::accept_as(crate::ids::RunId(uuid::Uuid::from_u128(1)), acceptance, START);
    let mut tell = |trigger| !run.advance(trigger, START).events.is_empty();
    assert!(tell(Trigger::Pause { by: by() }));
    assert!(!tell(Trigger::Resume { by: name.clone() }));
    assert!(tell(Trigger::Resume { by: by() }));
    assert!(tell(Trigger::Pause { by: name.clone() }));
    assert!(tell(Trigger::Resume { by: name }));
}

/// A step that writes, a child, and one more step that writes.
fn three() -> Bench {
    let write = |id: &str| json!({"id": id, "agent": "WRITER", "tool": "fs.write"});
    let document = json!({"name": "t", "mode": "sequential", "on_failure": "rollback",
        "steps": [write("w1"), scan(), write("w2")]});
    let mut bench = Bench::start(document);
    bench.call("w1", planned("1"));
    bench.call("w1", ok(json!(1)));
    let ended = end(&bench, "s", RunStatus::Succeeded, true);
    bench.call("s", ended);
    bench.call("w2", planned("2"));
    bench
}

#[test]
fn a_child_is_undone_in_its_place_among_the_changes() {
    let mut bench = three();
    bench.call("w2", ok(json!(1)));
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
    bench.trigger(Trigger::Undo { by: by() });
    assert_eq!(bench.at_work(), ["undo w2#1"]);
    bench.call("w2", ok(json!(1)));
    assert_eq!(bench.at_work(), ["undo child s#1"]);
    // Nobody knows what came of it: the child does.
    bench.crash(bench.journal.len());
    assert_eq!(bench.at_work(), ["undo child s#1"]);
    let child = bench.run.step(&step_id("s")).expect("a step").attempts()[0].child.expect("a child");
    let undone = ChildEnd { status: RunStatus::RolledBack, ..ChildEnd::of_none(child) };
    bench.call("s", Answer::Child(undone));
    assert_eq!(bench.at_work(), ["undo w1#1"]);
    bench.call("w1", ok(json!(1)));
    assert_eq!(bench.statuses(), "w1:undone s:undone w2:undone");
    assert_eq!(bench.run.status(), RunStatus::RolledBack);
}

#[test]
fn a_child_that_cannot_be_undone_needs_a_person_and_so_does_its_parent() {
    let mut bench = three();
    bench.call("w2", crate::workflow::tests::support::done(Status::Failed, Value::Null));
    bench.call("w2", ok(json!(1)));
    let child = bench.run.step(&step_id("s")).expect("a step").attempts()[0].child.expect("a child");
    let stuck = ChildEnd { status: RunStatus::NeedsHuman, has_changes: true, ..ChildEnd::of_none(child) };
    bench.call("s", Answer::Child(stuck));
    assert_eq!((bench.run.status(), bench.run.has_changes()), (RunStatus::NeedsHuman, true));
    // Once it can be, the undoing goes on from there.
    bench.trigger(Trigger::Undo { by: by() });
    let undone = ChildEnd { status: RunStatus::RolledBack, ..ChildEnd::of_none(child) };
    bench.call("s", Answer::Child(undone));
    bench.call("w1", ok(json!(1)));
    assert_eq!(bench.run.status(), RunStatus::RolledBack);
}
