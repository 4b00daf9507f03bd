//! Changes of the host: planned, carried out, looked for after a crash, and undone in reverse order.
use serde_json::{Value, json};

use crate::toolkit::change::Call;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Answer;
use crate::workflow::advance::Trigger;
use crate::workflow::result::StepResult;
use crate::workflow::status::RunStatus;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::done;
use crate::workflow::tests::support::ok;
use crate::workflow::tests::support::planned;

fn writers(on_failure: &str, last: Value) -> Bench {
    let write = |id: &str| json!({"id": id, "agent": "WRITER"});
    let steps = json!([write("a"), write("b"), last]);
    Bench::start(json!({"name": "t", "mode": "sequential", "on_failure": on_failure, "steps": steps}))
}

fn failing() -> Value {
    json!({"id": "c", "agent": "TESTBED", "tool": "cp.echo"})
}

fn write(bench: &mut Bench, step: &str) {
    bench.call(step, planned(step));
    bench.call(step, ok(json!(step)));
}

/// A run that changed two things and whose third step is about to fail.
fn about_to_fail(on_failure: &str) -> Bench {
    let mut bench = writers(on_failure, failing());
    write(&mut bench, "a");
    write(&mut bench, "b");
    bench
}

fn kinds(bench: &Bench) -> Vec<&'static str> {
    bench.events(bench.journal.len()).iter().map(|(_, event)| event.kind()).collect()
}

#[test]
fn nothing_is_changed_before_its_plan_is_on_disk() {
    let mut bench = writers("keep", failing());
    assert_eq!(bench.asked_for("a"), Some(Call::Plan));
    bench.call("a", planned("x"));
    assert_eq!(kinds(&bench)[1..], ["step_started", "change_planned", "change_begun"]);
    assert_eq!(bench.asked_for("a"), Some(Call::Apply(json!({"write": "x"}).into())));
}

#[test]
fn a_failure_undoes_what_was_done_the_last_first() {
    let mut bench = about_to_fail("rollback");
    bench.answer("c", done(Status::Failed, Value::Null));
    assert_eq!((bench.at_work(), bench.run.status()), (vec!["undo b#1".to_owned()], RunStatus::Running));
    assert_eq!(bench.asked_for("b"), Some(Call::Undo(json!({"write": "b"}).into())));
    bench.call("b", ok(json!(1)));
    bench.call("a", ok(json!(1)));
    assert_eq!((bench.run.status(), bench.statuses().as_str()), (RunStatus::RolledBack, "a:undone b:undone c:failed"));
    assert_eq!(bench.run.success_rate(), Some(2.0 / 3.0));
}

#[test]
fn without_a_wish_nothing_is_undone_and_it_can_be_wished_later() {
    let mut bench = about_to_fail("keep");
    bench.answer("c", done(Status::Failed, Value::Null));
    assert_eq!((bench.run.status(), bench.run.has_changes()), (RunStatus::Failed, true));
    bench.trigger(Trigger::Undo { by: "token:x".into() });
    assert_eq!((bench.run.status(), bench.run.finished()), (RunStatus::Running, None));
    bench.crash(bench.journal.len());
    assert_eq!(bench.at_work(), ["undo b#1"]);
    bench.call("b", ok(json!(1)));
    bench.call("a", ok(json!(1)));
    assert_eq!(bench.run.status(), RunStatus::RolledBack);
    bench.trigger(Trigger::Undo { by: "token:x".into() });
    assert_eq!(bench.run.status(), RunStatus::RolledBack, "there is nothing left to undo");
}

#[test]
fn a_cancelled_run_is_undone_once_its_last_change_has_ended() {
    let mut bench = writers("keep", failing());
    write(&mut bench, "a");
    bench.call("b", planned("b"));
    bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: true });
    bench.sleep();
    assert_eq!(bench.statuses(), "a:succeeded b:running c:skipped", "it may still be changing the host");
    assert_eq!(bench.wake, None, "nothing is gained by looking again and again");
    bench.call("b", done(Status::Aborted, Value::Null));
    assert_eq!(bench.at_work(), ["undo b#1"], "nobody knows how far it came");
    bench.call("b", ok(json!(1)));
    bench.call("a", ok(json!(1)));
    assert_eq!(
        (bench.run.status(), bench.statuses().as_str()),
        (RunStatus::RolledBack, "a:undone b:cancelled c:skipped")
    );
}

#[test]
fn a_run_out_of_time_follows_its_document() {
    let mut bench = about_to_fail("rollback");
    bench.sleep();
    assert_eq!(kinds(&bench).iter().filter(|kind| **kind == "timed_out").count(), 1);
    bench.answer("c", done(Status::Aborted, Value::Null));
    bench.call("b", ok(json!(1)));
    bench.call("a", ok(json!(1)));
    assert_eq!(bench.run.status(), RunStatus::RolledBack);
}

#[test]
fn an_undo_that_fails_is_tried_again_and_then_a_person_is_called() {
    let mut bench = about_to_fail("rollback");
    bench.answer("c", done(Status::Failed, Value::Null));
    for attempt in 1..8 {
        assert_eq!(bench.at_work(), [format!("undo b#{attempt}")]);
        bench.call("b", done(Status::Failed, Value::Null));
        bench.crash(bench.journal.len());
        bench.sleep();
    }
    bench.call("b", Answer::NoAnswer);
    assert_eq!(
        (bench.run.status(), bench.statuses().as_str()),
        (RunStatus::NeedsHuman, "a:succeeded b:succeeded c:failed")
    );
    bench.trigger(Trigger::Undo { by: "token:x".into() });
    assert_eq!(bench.at_work(), ["undo b#9"], "the person has mended what was in the way");
    bench.call("b", ok(json!(1)));
    bench.call("a", ok(json!(1)));
    assert_eq!(bench.run.status(), RunStatus::RolledBack);
}

#[test]
fn what_others_changed_since_is_not_overwritten() {
    let mut bench = about_to_fail("rollback");
    bench.answer("c", done(Status::Failed, Value::Null));
    let reason = Reason::new("changed_since", "/f", "it was changed by others");
    bench.call("b", Answer::Done(StepResult::without_data(Status::Failed, reason, 1.0)));
    assert_eq!((bench.run.status(), bench.at_work().len()), (RunStatus::NeedsHuman, 0));
}

#[test]
fn after_a_crash_the_host_tells_whether_the_change_was_made() {
    for (state, status, applied_again) in [
        (json!({"state": "applied", "data": 5}), "a:succeeded", false),
        (json!({"state": "not_applied"}), "a:running", true),
        (json!({"state": "neither", "detail": "half"}), "a:failed", false),
    ] {
        let mut bench = writers("keep", failing());
        bench.call("a", planned("a"));
        bench.crash(bench.journal.len());
        assert_eq!(bench.asked_for("a"), Some(Call::Settle(json!({"write": "a"}).into())));
        bench.crash(bench.journal.len());
        bench.call("a", done(Status::Ok, state.clone()));
        assert!(bench.statuses().starts_with(status), "{state} leads to {}", bench.statuses());
        let again = matches!(bench.asked_for("a"), Some(Call::Apply(_)));
        assert_eq!(again, applied_again, "{state}");
    }
}

#[test]
fn a_crash_while_planning_plans_again() {
    let mut bench = writers("keep", failing());
    bench.crash(bench.journal.len());
    assert_eq!((bench.at_work(), bench.asked_for("a")), (vec!["a#2".to_owned()], Some(Call::Plan)));
}

#[test]
fn an_agent_that_ends_while_it_changes_is_asked_what_became_of_it() {
    let mut bench = writers("keep", failing());
    bench.call("a", planned("a"));
    bench.call("a", Answer::Lost { detail: "it ended".into() });
    assert!(matches!(bench.asked_for("a"), Some(Call::Settle(_))));
    bench.call("a", Answer::Refused { retry_after: std::time::Duration::from_secs(60), detail: "open".into() });
    bench.sleep();
    bench.call("a", done(Status::Ok, json!({"state": "applied", "data": 1})));
    assert!(bench.statuses().starts_with("a:succeeded"), "{}", bench.statuses());
}

#[test]
fn a_failed_run_is_retried_from_the_failed_step() {
    let mut bench = about_to_fail("keep");
    bench.answer("c", done(Status::Failed, Value::Null));
    bench.trigger(Trigger::Retry { by: "token:x".into() });
    assert_eq!(
        (bench.at_work(), bench.statuses().as_str()),
        (vec!["c#2".to_owned()], "a:succeeded b:succeeded c:running")
    );
    bench.crash(bench.journal.len());
    bench.answer("c", ok(json!(1)));
    assert_eq!((bench.run.status(), bench.run.success_rate()), (RunStatus::Succeeded, Some(1.0)));
    bench.trigger(Trigger::Retry { by: "token:x".into() });
    assert!(bench.run.is_finished(), "there is nothing to do again");
}

#[test]
fn a_step_may_say_for_itself_what_its_failure_means() {
    let document = |of_step: &str, of_run: &str| {
        json!({"name": "t", "mode": "sequential", "on_failure": of_run, "steps": [
            {"id": "a", "agent": "WRITER"},
            {"id": "c", "agent": "TESTBED", "tool": "cp.echo", "on_failure": of_step}]})
    };
    for (of_step, of_run, undone) in [("rollback", "keep", true), ("keep", "rollback", false)] {
        let mut bench = Bench::start(document(of_step, of_run));
        write(&mut bench, "a");
        bench.answer("c", done(Status::Failed, Value::Null));
        assert_eq!(bench.asked_for("a").is_some(), undone, "{of_step} in a run of {of_run}");
    }
}
