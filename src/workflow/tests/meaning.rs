//! What the modes, conditions, failures, retries and deadlines of a workflow mean.
use std::time::Duration;

use serde_json::{Value, json};

use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Answer;
use crate::workflow::advance::Trigger;
use crate::workflow::result::StepResult;
use crate::workflow::status::RunStatus;
use crate::workflow::step_run::Note;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::at;
use crate::workflow::tests::support::dag;
use crate::workflow::tests::support::done;
use crate::workflow::tests::support::ok;
use crate::workflow::tests::support::step_id;

fn steps(mode: &str, ids: &[&str]) -> Value {
    let steps: Vec<_> = ids.iter().map(|id| json!({"id": id, "agent": "TESTBED", "tool": "cp.echo"})).collect();
    json!({"name": "t", "mode": mode, "steps": steps})
}

/// One step with this in addition.
fn one(extra: Value) -> Value {
    let mut document = steps("dag", &["a"]);
    let step = document["steps"][0].as_object_mut().expect("an object");
    step.extend(extra.as_object().expect("an object").clone());
    document
}

fn why(bench: &Bench, step: &str) -> String {
    match bench.run.step(&step_id(step)).expect("a step").note() {
        Some(Note::Skipped { detail, .. }) => detail.clone(),
        Some(Note::Ended(reason)) => format!("{}: {}", reason.code, reason.detail),
        None => String::new(),
    }
}

#[test]
fn parallel_steps_begin_at_once_and_a_failure_stops_no_other() {
    let mut bench = Bench::start(steps("parallel", &["a", "b", "c"]));
    assert_eq!(bench.at_work(), ["a#1", "b#1", "c#1"]);
    bench.answer("b", done(Status::Failed, Value::Null));
    bench.answer("a", ok(json!(1)));
    assert!(!bench.ended);
    bench.answer("c", ok(json!(2)));
    assert!(bench.ended);
    assert_eq!(bench.run.status(), RunStatus::Failed);
    assert_eq!(bench.run.success_rate(), Some(2.0 / 3.0));
    let results: Vec<_> = bench.run.results().map(|(step, data)| format!("{step}={data}")).collect();
    assert_eq!(results, ["a=1", "c=2"]);
}

#[test]
fn sequential_steps_follow_each_other_until_one_fails() {
    let mut bench = Bench::start(steps("sequential", &["a", "b", "c", "d", "e"]));
    bench.answer("a", ok(json!(1)));
    assert_eq!(bench.at_work(), ["b#1"]);
    bench.answer("b", done(Status::Unavailable, Value::Null));
    bench.answer("c", done(Status::Denied, Value::Null));
    assert_eq!(bench.statuses(), "a:succeeded b:unavailable c:denied d:skipped e:skipped");
    assert_eq!(why(&bench, "e"), "step `c` was denied, which ends a sequential run");
    assert_eq!((bench.run.status(), bench.ended), (RunStatus::Failed, true));
    assert_eq!((bench.run.success_rate(), bench.run.coverage()), (Some(0.5), Some(0.5)));
}

#[test]
fn a_pipeline_hands_the_data_on() {
    let mut document = steps("pipeline", &["a", "b", "c", "d"]);
    document["steps"][2]["when"] = json!("prev.n > 5");
    document["steps"][3]["input"] = json!({"was": "${prev.n}"});
    let mut bench = Bench::start(document);
    assert_eq!(bench.input_of("a"), json!({}));
    bench.answer("a", ok(json!({"n": 4})));
    assert_eq!(bench.input_of("b"), json!({"n": 4}));
    bench.answer("b", ok(json!({"n": 5})));
    assert_eq!(why(&bench, "c"), "`prev.n > 5` is false");
    assert_eq!(bench.input_of("d"), json!({"was": 5}), "of the nearest step before that gave data");
    bench.answer("d", ok(json!(null)));
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
}

#[test]
fn a_dag_waits_for_needs_and_goes_on_beside_a_failure() {
    let mut bench = Bench::start(dag(&[
        ("a", &[]),
        ("b", &[]),
        ("c", &["a", "b"]),
        ("d", &["c"]),
        ("e", &["b"]),
        ("f", &["d", "e"]),
    ]));
    assert_eq!(bench.at_work(), ["a#1", "b#1"]);
    bench.answer("a", done(Status::TimedOut, Value::Null));
    assert_eq!(why(&bench, "c"), "step `a` timed out, and this step depends on it");
    bench.answer("b", done(Status::Degraded, json!({"x": 1})));
    assert_eq!(bench.at_work(), ["e#1"]);
    bench.answer("e", ok(json!(1)));
    assert_eq!(bench.statuses(), "a:timed_out b:degraded c:skipped d:skipped e:succeeded f:skipped");
    assert_eq!(why(&bench, "f"), "step `a` timed out, and this step depends on it");
    assert_eq!((bench.run.status(), bench.run.success_rate()), (RunStatus::Failed, Some(2.0 / 3.0)));
    let missing: Vec<_> =
        bench.run.unavailable().map(|(step, _, reason)| format!("{step} {}", reason.detail)).collect();
    assert_eq!(missing, ["b in part"]);
}

#[test]
fn a_step_skipped_by_its_condition_and_an_unavailable_one_satisfy_others() {
    let mut document = dag(&[("a", &[]), ("b", &["a"]), ("c", &["b", "a"])]);
    document["steps"][1]["when"] = json!("steps.a.status == 'succeeded'");
    document["steps"][2]["input"] = json!({"b": "${steps.b}", "a": "${steps.a.data}"});
    let mut bench = Bench::start(document);
    bench.answer("a", done(Status::Unavailable, Value::Null));
    assert_eq!(bench.input_of("c"), json!({"b": {"status": "skipped", "data": null}, "a": null}));
    bench.answer("c", ok(json!(1)));
    assert_eq!(bench.statuses(), "a:unavailable b:skipped c:succeeded");
    assert_eq!((bench.run.status(), bench.run.coverage()), (RunStatus::Succeeded, Some(0.5)));
}

#[test]
fn an_expression_without_a_value_fails_the_step_without_an_attempt() {
    let mut document = dag(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["c"])]);
    document["steps"][1]["when"] = json!("steps.a.data.count > 1");
    document["steps"][2]["input"] = json!({"x": "${steps.a.data.nothing}"});
    let mut bench = Bench::start(document);
    bench.answer("a", ok(json!({})));
    assert_eq!(bench.statuses(), "a:succeeded b:failed c:failed d:skipped");
    assert_eq!(why(&bench, "b"), "expression: `steps.a.data.count > 1` has no value: No such key: count");
    assert_eq!(why(&bench, "c"), "expression: `steps.a.data.nothing` has no value: there is no `nothing`");
    assert!(bench.run.step(&step_id("b")).expect("a step").attempts().is_empty());
    assert_eq!(bench.run.status(), RunStatus::Failed);
}

#[test]
fn success_without_evidence_and_values_too_large_are_failures() {
    let mut bench = Bench::start(one(json!({"tool": "fs.manifest"})));
    let bare =
        StepResult { output: Output::ok(json!(1), Vec::new()), findings: Vec::new(), duration_ms: 1.0, usage: None };
    bench.answer("a", Answer::Done(bare));
    let output = bench.run.step(&step_id("a")).and_then(|step| step.output()).expect("an output");
    assert_eq!(output.reason.as_ref().map(|reason| reason.code.as_str()), Some("no_evidence"));

    let mut document = dag(&[("a", &[]), ("b", &["a"]), ("c", &[])]);
    document["steps"][1]["input"] = json!({"x": "${steps.a.data}${steps.a.data}"});
    let mut bench = Bench::start(document);
    bench.answer("a", ok(json!("x".repeat(6_000))));
    assert_eq!(why(&bench, "b"), "too_large: the input is larger than 10000 bytes");
    bench.answer("c", ok(json!("x".repeat(10_000))));
    assert_eq!(bench.statuses(), "a:succeeded b:failed c:failed");
    assert_eq!(bench.run.results().count(), 1);
}

#[test]
fn a_failed_attempt_is_made_again_after_a_growing_wait() {
    let retry = json!({"max_attempts": 3, "initial": "1s", "factor": 3, "jitter": "none"});
    let mut bench = Bench::start(one(json!({"retry": retry, "timeout": "60s", "attempt_timeout": "20s"})));
    bench.answer("a", done(Status::Failed, Value::Null));
    assert_eq!((bench.wake, bench.statuses().as_str()), (Some(at(1)), "a:running"));
    bench.sleep();
    bench.answer("a", done(Status::TimedOut, Value::Null));
    assert_eq!(bench.wake, Some(at(4)));
    bench.sleep();
    assert_eq!((bench.at_work(), bench.timeouts()), (vec!["a#3".to_owned()], vec![Duration::from_secs(20)]));
    bench.answer("a", done(Status::Failed, Value::Null));
    assert_eq!((bench.statuses().as_str(), bench.ended), ("a:failed", true));
    let attempts: Vec<_> = bench.run.step(&step_id("a")).expect("a step").attempts().iter().collect();
    let statuses: Vec<_> = attempts.iter().map(|attempt| (attempt.n, attempt.status(), attempt.error())).collect();
    let error = Some("for the test");
    assert_eq!(statuses, [(1, "failed", error), (2, "timed_out", error), (3, "failed", error)]);
}

#[test]
fn what_another_attempt_would_not_change_is_not_tried_again() {
    let retry = json!({"max_attempts": 5, "not_on": ["timed_out", "io"]});
    let with_code = |code: &str| {
        let output = Output::without_data(Status::Failed, Reason::new(code, "test", "for the test"));
        Answer::Done(StepResult { output, findings: Vec::new(), duration_ms: 1.0, usage: None })
    };
    for (answer, ends) in [
        (done(Status::Denied, Value::Null), "a:denied"),
        (done(Status::Unavailable, Value::Null), "a:unavailable"),
        (done(Status::TimedOut, Value::Null), "a:timed_out"),
        (with_code("invalid_input"), "a:failed"),
        (with_code("io"), "a:failed"),
        (with_code("other"), "a:running"),
    ] {
        let mut bench = Bench::start(one(json!({ "retry": retry })));
        bench.answer("a", answer);
        assert_eq!(bench.statuses(), ends);
    }
}

#[test]
fn a_retry_that_would_begin_after_the_steps_time_is_not_waited_for() {
    let retry = json!({"max_attempts": 5, "initial": "10s", "jitter": "none"});
    let mut bench = Bench::start(one(json!({"retry": retry, "timeout": "10s"})));
    bench.answer("a", done(Status::Failed, Value::Null));
    assert_eq!((bench.statuses().as_str(), bench.ended), ("a:failed", true));
}

#[test]
fn a_refusal_uses_up_no_attempt_and_waits_within_the_steps_time() {
    let refused = |seconds| Answer::Refused { retry_after: Duration::from_secs(seconds), detail: "open".into() };
    let mut bench = Bench::start(one(json!({"timeout": "100s"})));
    bench.answer("a", refused(60));
    assert_eq!((bench.wake, bench.statuses().as_str()), (Some(at(60)), "a:pending"));
    bench.sleep();
    assert_eq!((bench.at_work(), bench.timeouts()), (vec!["a#1".to_owned()], vec![Duration::from_secs(40)]));
    bench.answer("a", refused(50));
    assert_eq!(bench.statuses(), "a:timed_out");
    assert_eq!(why(&bench, "a"), "agent_unavailable: TESTBED did not take the step within its time: open");
}

#[test]
fn a_broken_off_attempt_is_made_again_only_if_the_tool_is_repeatable() {
    let retry = json!({"max_attempts": 2, "jitter": "none"});
    for answer in [Answer::NoAnswer, Answer::NotDone { detail: "panicked".into() }] {
        let mut bench = Bench::start(one(json!({ "retry": retry })));
        bench.answer("a", answer.clone());
        assert_eq!(bench.statuses(), "a:running");
        let mut bench = Bench::start(one(json!({"agent": "PATCHER", "tool": "pkg.upgrade", "retry": retry})));
        bench.answer("a", answer);
        assert!(bench.ended);
    }
}

#[test]
fn cancelling_stops_what_runs_and_skips_the_rest() {
    let mut bench = Bench::start(dag(&[("a", &[]), ("b", &[]), ("c", &["a"])]));
    bench.now = at(5);
    bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: false });
    assert_eq!(bench.stopped, [(step_id("a"), 1), (step_id("b"), 1)]);
    assert_eq!(bench.statuses(), "a:running b:running c:skipped");
    bench.trigger(Trigger::Cancel { by: "token:y".into(), undo: false });
    bench.answer("a", done(Status::Aborted, Value::Null));
    bench.answer("b", ok(json!("done before the flag was seen")));
    assert_eq!(bench.statuses(), "a:cancelled b:succeeded c:skipped");
    assert_eq!((bench.run.status(), bench.ended), (RunStatus::Cancelled, true));
    assert_eq!(bench.run.execution_time_ms(), Some(5_000));
}

#[test]
fn a_stopped_attempt_that_does_not_end_is_not_waited_for_long() {
    let mut bench = Bench::start(one(json!({})));
    bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: false });
    assert_eq!(bench.wake, Some(at(10)));
    bench.sleep();
    assert_eq!((bench.statuses().as_str(), bench.ended), ("a:cancelled", true));
    assert_eq!(why(&bench, "a"), "run_cancelled: the run was cancelled and TESTBED did not stop in time");
    let before = bench.journal.len();
    bench.answer("a", ok(json!(1)));
    assert_eq!(bench.journal.len(), before, "an answer that comes too late is no news");
}

#[test]
fn a_run_out_of_time_is_stopped() {
    let mut document = dag(&[("a", &[]), ("b", &["a"]), ("w", &[])]);
    document["timeout"] = json!("30s");
    document["steps"][2]["timeout"] = json!("1h");
    document["steps"][2]["retry"] = json!({"max_attempts": 2, "initial": "60s", "max": "60s", "jitter": "none"});
    let mut bench = Bench::start(document);
    assert_eq!(bench.wake, Some(at(30)));
    bench.answer("w", done(Status::Failed, Value::Null));
    bench.sleep();
    assert_eq!(bench.statuses(), "a:running b:skipped w:cancelled");
    bench.answer("a", done(Status::Aborted, Value::Null));
    assert_eq!((bench.run.status(), bench.run.execution_time_ms()), (RunStatus::TimedOut, Some(30_000)));
    assert_eq!(why(&bench, "b"), "the run ran out of time");
}

#[test]
fn the_answer_to_an_earlier_attempt_is_no_news() {
    let retry = json!({"max_attempts": 2, "jitter": "none"});
    let mut bench = Bench::start(one(json!({ "retry": retry })));
    bench.answer("a", Answer::NoAnswer);
    bench.sleep();
    let before = bench.run.clone();
    for (step, attempt) in [("a", 1), ("a", 3), ("zzz", 1)] {
        bench.trigger(Trigger::Answer { step: step_id(step), attempt, answer: ok(json!(1)) });
    }
    assert_eq!(bench.run, before);
    bench.answer("a", ok(json!(2)));
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
}
