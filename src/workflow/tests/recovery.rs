//! A run goes on from its journal: nothing is done twice that must not be, nothing waits for ever.
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::ids::RunId;
use crate::toolkit::output::Status;
use crate::workflow::advance::Answer;
use crate::workflow::advance::MOST_LOST;
use crate::workflow::advance::Trigger;
use crate::workflow::event::RunEvent;
use crate::workflow::replay::ReplayError;
use crate::workflow::run::Run;
use crate::workflow::status::RunStatus;
use crate::workflow::step_run::Note;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::START;
use crate::workflow::tests::support::at;
use crate::workflow::tests::support::dag;
use crate::workflow::tests::support::done;
use crate::workflow::tests::support::ok;
use crate::workflow::tests::support::step_id;

fn patching() -> Value {
    json!({"name": "t", "steps": [
        {"id": "a", "agent": "PATCHER", "tool": "pkg.upgrade", "timeout": "100s", "retry": {"max_attempts": 5}}]})
}

fn code(bench: &Bench, step: &str) -> String {
    match bench.run.step(&step_id(step)).expect("a step").note() {
        Some(Note::Ended(reason)) => reason.code.clone(),
        _ => String::new(),
    }
}

#[test]
fn a_repeatable_step_under_way_is_begun_again_with_all_of_its_time() {
    let mut bench = Bench::start(dag(&[("a", &[]), ("b", &["a"])]));
    bench.answer("a", ok(json!(1)));
    bench.now = at(500);
    bench.crash(bench.journal.len());
    assert_eq!((bench.at_work(), bench.statuses().as_str()), (vec!["b#2".to_owned()], "a:succeeded b:running"));
    assert_eq!(bench.timeouts(), [Duration::from_secs(20)]);
    bench.answer("b", ok(json!(2)));
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
    let attempts: Vec<_> =
        bench.run.step(&step_id("b")).expect("a step").attempts().iter().map(|a| a.status()).collect();
    assert_eq!(attempts, ["lost", "ok"]);
}

#[test]
fn a_step_that_may_not_be_repeated_fails_when_its_outcome_is_unknown() {
    let mut bench = Bench::start(patching());
    bench.crash(bench.journal.len());
    assert_eq!((bench.statuses().as_str(), code(&bench, "a").as_str()), ("a:failed", "outcome_unknown"));
    assert!(bench.ended);
}

#[test]
fn a_step_that_was_refused_was_certainly_not_done_and_waits_on() {
    let mut bench = Bench::start(patching());
    bench.answer("a", Answer::Refused { retry_after: Duration::from_secs(60), detail: "open".into() });
    bench.now = at(70);
    bench.crash(bench.journal.len());
    assert_eq!(bench.at_work(), ["a#1"], "due at 60 and begun late, with the time it had then");
    assert_eq!(bench.timeouts(), [Duration::from_secs(40)]);
    bench.crash(bench.journal.len());
    assert_eq!(code(&bench, "a"), "outcome_unknown", "offered a second time, it may have been done");
}

#[test]
fn a_step_that_keeps_ending_its_agent_fails_after_a_few_attempts() {
    let mut bench = Bench::start(dag(&[("a", &[])]));
    for attempt in 1..=MOST_LOST {
        assert_eq!(bench.at_work(), [format!("a#{attempt}")]);
        bench.answer("a", Answer::Lost { detail: "the agent ended".into() });
    }
    bench.crash(bench.journal.len());
    assert_eq!((bench.statuses().as_str(), code(&bench, "a").as_str()), ("a:failed", "outcome_unknown"));
}

#[test]
fn lost_attempts_do_not_count_for_the_retry_policy() {
    let mut document = dag(&[("a", &[])]);
    document["steps"][0]["retry"] = json!({"max_attempts": 2, "initial": "0s"});
    let mut bench = Bench::start(document);
    bench.crash(bench.journal.len());
    bench.answer("a", done(Status::Failed, Value::Null));
    assert_eq!(bench.at_work(), ["a#3"]);
    bench.answer("a", done(Status::Failed, Value::Null));
    assert_eq!(bench.statuses(), "a:failed");
}

#[test]
fn a_run_that_was_being_stopped_is_settled_without_beginning_anything() {
    let mut bench = Bench::start(dag(&[("a", &[]), ("b", &["a"])]));
    bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: false });
    let cancelled = bench.journal.len();
    for journaled in [cancelled, cancelled - 1] {
        let mut bench = Bench::start(dag(&[("a", &[]), ("b", &["a"])]));
        bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: false });
        bench.crash(journaled);
        assert_eq!((bench.statuses().as_str(), bench.run.status()), ("a:cancelled b:skipped", RunStatus::Cancelled));
        assert!(bench.at_work().is_empty());
    }
}

#[test]
fn a_run_whose_time_passed_while_the_service_was_down_is_out_of_time() {
    let mut bench = Bench::start(dag(&[("a", &[]), ("b", &["a"])]));
    bench.now = at(3_600);
    bench.crash(bench.journal.len());
    assert_eq!((bench.statuses().as_str(), bench.run.status()), ("a:cancelled b:skipped", RunStatus::TimedOut));
}

#[test]
fn a_journal_that_makes_no_sense_is_refused() {
    let mut bench = Bench::start(dag(&[("a", &[]), ("b", &["a"])]));
    bench.answer("a", ok(json!(1)));
    bench.answer("b", ok(json!(1)));
    let good = bench.events(bench.journal.len());
    let kinds: Vec<_> = good.iter().map(|(_, event)| event.kind()).collect();
    assert_eq!(kinds, ["accepted", "step_started", "attempt_done", "step_started", "attempt_done", "finished"]);
    let run = RunId(Uuid::from_u128(1));
    let replay = |places: &[usize]| Run::replay(run, places.iter().map(|place| good[*place].clone())).err();
    assert_eq!(replay(&[0, 1, 2, 3, 4, 5]), None);
    assert_eq!(replay(&[]), Some(ReplayError::Empty { run }));
    assert_eq!(replay(&[1]), Some(ReplayError::NotAccepted { run, kind: "step_started" }));
    let misfit = |seq, kind| Some(ReplayError::Misfit { run, seq, kind });
    assert_eq!(replay(&[0, 2]), misfit(1, "attempt_done"));
    assert_eq!(replay(&[0, 3]), misfit(1, "step_started"));
    assert_eq!(replay(&[0, 1, 1]), misfit(2, "step_started"));
    assert_eq!(replay(&[0, 1, 2, 2]), misfit(3, "attempt_done"));
    assert_eq!(replay(&[0, 0]), misfit(1, "accepted"));
    assert_eq!(replay(&[0, 1, 5]), misfit(2, "finished"));
    assert_eq!(replay(&[0, 1, 2, 3, 4, 5, 5]), misfit(6, "finished"));
    let stranger = RunEvent::StepStarted { step: step_id("zzz"), attempt: 1, input: json!({}).into(), child: None };
    let error = Run::replay(run, [good[0].clone(), (START, stranger)]).err();
    assert!(matches!(error, Some(ReplayError::UnknownStep { seq: 1, .. })));
}
