//! A paused run begins nothing, loses nothing, and its time goes on.
use serde_json::{Value, json};

use crate::workflow::advance::Trigger;
use crate::workflow::event::RunStatus;
use crate::workflow::tests::support::{Bench, at, ok};

fn chain() -> Value {
    json!({"name": "chain", "timeout": "60s", "steps": [
        {"id": "a", "agent": "TESTBED", "tool": "cp.echo"},
        {"id": "b", "agent": "TESTBED", "tool": "cp.echo", "needs": ["a"]},
    ]})
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
fn a_paused_run_can_be_cancelled_and_runs_out_of_time() {
    let mut bench = Bench::start(chain());
    bench.trigger(pause());
    bench.answer("a", ok(json!(1)));
    bench.trigger(Trigger::Cancel { by: "token:x".into() });
    assert_eq!((bench.run.status(), bench.statuses().as_str()), (RunStatus::Cancelled, "a:succeeded b:skipped"));

    let mut bench = Bench::start(chain());
    bench.answer("a", ok(json!(1)));
    bench.trigger(pause());
    assert_eq!(bench.wake, Some(at(60)), "only the end of its time wakes a paused run");
}
