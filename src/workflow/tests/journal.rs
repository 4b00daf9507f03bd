//! What is written down: rows that can be found and read back, audit entries for operations and for nothing else.
use serde_json::{Value, json};

use crate::ids::NodeId;
use crate::toolkit::output::Status;
use crate::workflow::advance::Trigger;
use crate::workflow::event::RunEvent;
use crate::workflow::journal::Writer;
use crate::workflow::journal::row_for;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::START;
use crate::workflow::tests::support::dag;
use crate::workflow::tests::support::done;
use crate::workflow::tests::support::ok;
use crate::workflow::tests::support::step_id;

#[test]
fn operations_have_an_audit_entry_and_every_event_a_row_that_reads_back() {
    let mut document = dag(&[("a", &[]), ("b", &[]), ("c", &["a"])]);
    document["steps"][0]["retry"] = json!({"max_attempts": 2, "initial": "0s"});
    let mut bench = Bench::start(document);
    bench.answer("a", done(Status::Failed, Value::Null));
    bench.answer("a", ok(json!({"pi": 3.25})));
    bench.crash(bench.journal.len());
    bench.trigger(Trigger::Cancel { by: "token:x".into(), undo: false });
    bench.answer("b", done(Status::Aborted, Value::Null));
    bench.answer("c", ok(json!(1)));

    let node = NodeId::new("n1").expect("a node id");
    let writer = Writer { node: &node, epoch: 3, at: START };
    let mut lines = Vec::new();
    for (seq, (_, event)) in (0..).zip(bench.events(bench.journal.len())) {
        let row = row_for(&bench.run, seq, &event, writer).expect("a row");
        assert_eq!(row.body.clone().read::<RunEvent>().expect("read back"), event);
        let body: Value = row.body.clone().read().expect("JSON");
        assert_eq!((row.seq, body["kind"].as_str()), (seq, Some(row.kind.as_str())));
        assert_eq!(row.agent.is_some(), row.step.is_some());
        let entry = row.entry.map(|entry| {
            assert!(entry.subject.starts_with("run/00000000-0000-0000-0000-000000000001"));
            let subject = entry.subject.rsplit_once('/').map_or("", |(_, last)| last).get(..1).unwrap_or_default();
            let payload = if entry.payload.is_some() { " +payload" } else { "" };
            format!(" -> {} {} {} {}{payload}", entry.actor, entry.op, subject, entry.outcome)
        });
        lines.push(format!("{} {}{}", row.kind, row.status.as_deref().unwrap_or("-"), entry.unwrap_or_default()));
    }
    assert_eq!(
        lines,
        [
            "accepted - -> token:test run.accepted 0 ok +payload",
            "step_started -",
            "step_started -",
            "attempt_done failed -> TESTBED step.done a failed +payload",
            "step_started -",
            "attempt_done ok -> TESTBED step.done a ok +payload",
            "step_started -",
            "attempt_lost - -> TESTBED step.done b unknown",
            "attempt_lost - -> TESTBED step.done c unknown",
            "step_started -",
            "step_started -",
            "cancelled - -> token:x run.cancelled 0 ok",
            "attempt_done aborted -> TESTBED step.done b aborted +payload",
            "attempt_done ok -> TESTBED step.done c ok +payload",
            "finished - -> service run.finished 0 cancelled",
        ]
    );
}

#[test]
fn the_payload_is_the_digest_of_the_output_and_indexes_are_kept() {
    let mut bench = Bench::start(dag(&[("a", &[])]));
    bench.answer("a", ok(json!({"z": 1, "a": 2})));
    let node = NodeId::new("n1").expect("a node id");
    let writer = Writer { node: &node, epoch: 3, at: START };
    let (_, event) = bench.events(3).pop().expect("the attempt");
    let entry = row_for(&bench.run, 2, &event, writer).expect("a row").entry.expect("an entry");
    let output = bench.run.step(&step_id("a")).and_then(|step| step.output()).expect("an output");
    let sorted = serde_json::to_string(&serde_json::to_value(output).expect("JSON")).expect("JSON");
    assert!(sorted.starts_with(r#"{"data":{"a":2,"z":1},"evidence":"#), "{sorted}");
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(sorted.as_bytes()).into();
    assert_eq!(entry.payload, Some(crate::ids::Digest(digest)));

    bench.run.note_audit(Some(&step_id("a")), 41);
    bench.run.note_audit(None, 42);
    assert_eq!(bench.run.step(&step_id("a")).and_then(|step| step.audit_index()), Some(41));
    assert_eq!(bench.run.audit_index(), Some(42));
}
