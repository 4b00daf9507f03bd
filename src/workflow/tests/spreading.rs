//! Steps that are done once for each item of a list.
use serde_json::{Value, json};

use crate::toolkit::output::Status;
use crate::workflow::advance::Trigger;
use crate::workflow::check::check;
use crate::workflow::status::RunStatus;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::done;
use crate::workflow::tests::support::ok;
use crate::workflow::tests::support::planned;
use crate::workflow::tests::support::step_id;
use crate::workflow::tests::support::world;

fn scan(max_parallel: usize) -> Bench {
    let scan = json!({"id": "scan", "agent": "TESTBED", "tool": "cp.echo", "for_each": "${inputs.hosts}",
                      "max_parallel": max_parallel, "input": {"host": "${item.name}", "n": "${item.n + 1}"}});
    let after = json!({"id": "after", "agent": "TESTBED", "tool": "cp.echo", "input": {"all": "${steps.scan.data}"}});
    let hosts = json!([{"name": "a", "n": 1}, {"name": "b", "n": 2}, {"name": "c", "n": 3}]);
    Bench::start(json!({"name": "t", "mode": "sequential", "inputs": {"hosts": hosts}, "steps": [scan, after]}))
}

#[test]
fn each_item_is_a_step_and_no_more_at_a_time_than_allowed() {
    let mut bench = scan(2);
    assert_eq!(bench.at_work(), ["scan[0]#1", "scan[1]#1"]);
    assert_eq!(bench.input_of("scan[1]"), json!({"host": "b", "n": 3}));
    bench.answer("scan[1]", ok(json!("B")));
    assert_eq!(bench.at_work(), ["scan[0]#1", "scan[2]#1"]);
    bench.crash(bench.journal.len());
    assert_eq!(bench.at_work(), ["scan[0]#2", "scan[2]#2"]);
    bench.answer("scan[2]", ok(json!("C")));
    bench.answer("scan[0]", ok(json!("A")));
    assert_eq!(bench.input_of("after"), json!({"all": ["A", "B", "C"]}));
    bench.answer("after", ok(json!(1)));
    assert_eq!((bench.run.status(), bench.run.success_rate()), (RunStatus::Succeeded, Some(1.0)));
    let results: Vec<_> = bench.run.results().map(|(step, _)| step.to_string()).collect();
    assert_eq!(results, ["scan", "after"]);
}

#[test]
fn the_step_fails_with_one_of_its_items_and_only_that_is_done_again() {
    let mut bench = scan(3);
    bench.answer("scan[0]", ok(json!("A")));
    bench.answer("scan[1]", done(Status::Failed, Value::Null));
    bench.answer("scan[2]", ok(json!("C")));
    assert_eq!(bench.run.status(), RunStatus::Failed);
    let state = bench.run.step(&step_id("scan")).expect("a step").clone();
    assert_eq!(state.output().expect("an output").data, json!(["A", null, "C"]));
    assert_eq!(bench.statuses(), "scan:failed after:skipped scan[0]:succeeded scan[1]:failed scan[2]:succeeded");
    bench.trigger(Trigger::Retry { by: "token:x".into() });
    assert_eq!(bench.at_work(), ["scan[1]#2"]);
    bench.crash(bench.journal.len());
    bench.answer("scan[1]", ok(json!("B")));
    assert_eq!(bench.input_of("after"), json!({"all": ["A", "B", "C"]}));
}

#[test]
fn a_list_may_be_empty_or_none_at_all() {
    let with = |list: Value| {
        let step = json!({"id": "a", "agent": "TESTBED", "tool": "cp.echo", "for_each": "${inputs.list}"});
        Bench::start(json!({"inputs": {"list": list}, "steps": [step]}))
    };
    assert_eq!(with(json!([])).run.status(), RunStatus::Succeeded);
    assert_eq!(with(json!("x")).statuses(), "a:failed");
    assert_eq!(with(json!(vec![0; 1_001])).statuses(), "a:failed");
}

#[test]
fn a_cancelled_run_ends_its_items() {
    let mut bench = scan(1);
    bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: false });
    assert_eq!(bench.stopped, [(step_id("scan[0]"), 1)]);
    bench.answer("scan[0]", done(Status::Aborted, Value::Null));
    assert_eq!(bench.run.status(), RunStatus::Cancelled);
    assert_eq!(bench.statuses(), "scan:cancelled after:skipped scan[0]:cancelled scan[1]:skipped scan[2]:skipped");
}

#[test]
fn changes_of_items_are_undone_too() {
    let write = json!({"id": "w", "agent": "WRITER", "for_each": [1, 2]});
    let mut bench = Bench::start(json!({"on_failure": "rollback", "steps": [write]}));
    bench.call("w[0]", planned("x"));
    bench.call("w[0]", ok(json!(1)));
    bench.call("w[1]", done(Status::Failed, Value::Null));
    assert_eq!(bench.at_work(), ["undo w[0]#1"]);
    bench.call("w[0]", ok(json!(1)));
    assert_eq!(
        (bench.run.status(), bench.statuses().as_str()),
        (RunStatus::RolledBack, "w:failed w[0]:undone w[1]:failed")
    );
}

#[test]
fn what_is_said_of_a_spread_is_checked() {
    for (extra, pointer) in [
        (json!({"for_each": 3}), "/steps/0/for_each"),
        (json!({"for_each": "all of them"}), "/steps/0/for_each"),
        (json!({"for_each": "${item}"}), "/steps/0/for_each"),
        (json!({"max_parallel": 3}), "/steps/0/max_parallel"),
        (json!({"for_each": [1], "max_parallel": 0}), "/steps/0/max_parallel"),
        (json!({"input": {"x": "${item}"}}), "/steps/0/input/x"),
        (json!({"id": "a[0]"}), "/steps/0/id"),
    ] {
        let mut step = json!({"id": "a", "agent": "TESTBED", "tool": "cp.echo"});
        step.as_object_mut().expect("a step").extend(extra.as_object().expect("keys").clone());
        let faults = check(&json!({"steps": [step]}), &world()).expect_err("a fault");
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{extra}");
    }
}
