//! A paused run begins nothing, loses nothing, and its time goes on.
use std::time::Duration;

use serde_json::{Value, json};

use crate::workflow::advance::{Answer, Trigger};
use crate::workflow::status::RunStatus;
use crate::workflow::tests::support::{Bench, at, ok};

fn chain() -> Value {
    json!({"name": "chain", "timeout": "60s", "steps": [
        {"id": "a", "agent": "TESTBED", "tool": "cp.echo"},
        {"id": "b", "agent": "TESTBED", "tool": "cp.echo", "needs": ["a"]},
    ]})
}

fn refused(seconds: u64) -> Answer {
    Answer::Refused { retry_after: Duration::from_secs(seconds), detail: "open".into() }
}

fn pause() -> Trigger {
    Trigger::Pause { by: "token:x".into() }
}

fn resume() -> Trigger {
    Trigger::Resume { by: "token:x".into() }
}

#[test]
fn what_runs_goes_on_and_what_would_be_next_waits() {
    let mut bench = Bench::start(chain());
    bench.trigger(pause());
    assert_eq!((bench.run.status(), bench.run.paused_by()), (RunStatus::Paused, Some("token:x")));
    bench.answer("a", ok(json!(1)));
    assert_eq!(bench.statuses(), "a:succeeded b:pending");
    let before = bench.journal.len();
    bench.trigger(pause());
    assert_eq!(bench.journal.len(), before, "once is enough");
    bench.trigger(resume());
    assert_eq!(bench.run.status(), RunStatus::Running);
    bench.answer("b", ok(json!(2)));
    assert_eq!((bench.run.status(), bench.ended), (RunStatus::Succeeded, true));
}

#[test]
fn a_run_that_is_paused_by_the_service_can_be_paused_by_a_person() {
    let mut bench = Bench::start(chain());
    bench.trigger(Trigger::Pause { by: "recovery".into() });
    bench.trigger(pause());
    assert_eq!(bench.run.paused_by(), Some("token:x"), "it waits for the later one");
    bench.trigger(resume());
    assert_eq!((bench.run.status(), bench.run.paused_by()), (RunStatus::Running, None));
}

#[test]
fn a_pause_takes_nothing_from_the_time_of_a_step_that_waits_to_be_tried_again() {
    let mut bench = Bench::start(json!({"name": "again", "timeout": "1h", "steps": [
        {"id": "a", "agent": "TESTBED", "tool": "cp.echo", "timeout": "20s"},
    ]}));
    bench.answer("a", refused(6));
    bench.trigger(pause());
    bench.now = at(300);
    bench.trigger(resume());
    assert_eq!(bench.statuses(), "a:running");
    bench.answer("a", refused(1));
    assert_eq!(bench.statuses(), "a:pending", "there is time left for it");
}

#[test]
fn a_paused_run_can_be_cancelled_and_runs_out_of_time() {
    let mut bench = Bench::start(chain());
    bench.trigger(pause());
    bench.answer("a", ok(json!(1)));
    bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: false });
    assert_eq!((bench.run.status(), bench.statuses().as_str()), (RunStatus::Cancelled, "a:succeeded b:skipped"));

    let mut bench = Bench::start(chain());
    bench.answer("a", ok(json!(1)));
    bench.trigger(pause());
    assert_eq!(bench.wake, Some(at(60)), "only the end of its time wakes a paused run");
}
