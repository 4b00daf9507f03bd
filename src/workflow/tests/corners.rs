//! Corners: what one feature does in the midst of another.
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::ids::{AgentId, ToolId};
use crate::toolkit::change::Call;
use crate::toolkit::output::Status;
use crate::workflow::advance::{Effect, Trigger};
use crate::workflow::check::check;
use crate::workflow::fault::Limits;
use crate::workflow::status::RunStatus;
use crate::workflow::step::{Choice, Doer, ToolFacts};
use crate::workflow::tests::support::{Bench, at, done, ok, planned, step_id, world};
use crate::workflow::world::World;

fn echo(id: &str) -> Value {
    json!({"id": id, "agent": "TESTBED", "tool": "cp.echo"})
}

fn sequence(steps: Value) -> Bench {
    Bench::start(json!({"name": "t", "mode": "sequential", "steps": steps}))
}

fn by() -> String {
    "token:x".to_owned()
}

fn approve(step: &str) -> Trigger {
    Trigger::Decide { step: step_id(step), approved: true, by: by(), digest: None, comment: None }
}

fn carried(bench: &Bench, from: &str) -> Vec<String> {
    let (_, carried) = bench.run.fork(Some(from), &Map::new()).expect("a fork");
    carried.into_iter().map(|carried| carried.step.to_string()).collect()
}

#[test]
fn a_fork_asks_again_who_was_asked_about_another_run() {
    let mut bench = sequence(json!([echo("a"), {"id": "gate", "approve": {"role": "admin"}}, echo("b"), echo("c")]));
    bench.answer("a", ok(json!(1)));
    bench.trigger(approve("gate"));
    bench.answer("b", ok(json!(2)));
    bench.answer("c", ok(json!(3)));
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
    assert_eq!(carried(&bench, "c"), ["a", "b"]);
}

#[test]
fn a_fork_carries_a_step_with_items_as_one() {
    let mut each = echo("each");
    each["for_each"] = json!([1, 2]);
    let mut bench = sequence(json!([each, echo("b")]));
    bench.answer("each[0]", ok(json!(1)));
    bench.answer("each[1]", ok(json!(2)));
    bench.answer("b", ok(json!(3)));
    assert_eq!(carried(&bench, "b"), ["each"]);
    assert_eq!(carried(&bench, "each"), [""; 0]);
}

#[test]
fn an_approval_expires_also_while_the_run_is_paused() {
    let mut bench = sequence(json!([{"id": "gate", "approve": {"role": "admin", "expires": "10m"}}, echo("a")]));
    bench.trigger(Trigger::Pause { by: by() });
    bench.now = at(601);
    let before = bench.journal.len();
    bench.trigger(approve("gate"));
    assert_eq!(bench.journal.len(), before, "nobody may decide any more");
    bench.trigger(Trigger::Resume { by: by() });
    assert_eq!((bench.run.status(), bench.statuses().as_str()), (RunStatus::Failed, "gate:timed_out a:skipped"));
}

fn choice(agent: &str, tool: &str, changes: bool) -> Choice {
    let facts = ToolFacts { repeatable: false, needs_evidence: true, learn: false, changes };
    let doer = Doer { agent: AgentId::new(agent).expect("id"), tool: ToolId::new(tool).expect("id"), facts };
    Choice { doer, confidence: 0.75, reasons: Vec::new() }
}

/// The learner chooses for one of the steps that ask it.
fn choose(bench: &mut Bench, step: &str, choice: Choice) {
    let asks = |effect: &Effect| matches!(effect, Effect::Choose { step: asking, .. } if asking.as_str() == step);
    let place = bench.pending.iter().position(asks).expect("it asks");
    bench.pending.remove(place);
    bench.trigger(Trigger::Chosen { step: step_id(step), choice: Ok(choice) });
}

fn asking(bench: &Bench) -> usize {
    bench.pending.iter().filter(|effect| matches!(effect, Effect::Choose { .. })).count()
}

#[test]
fn an_item_whose_agent_is_being_chosen_has_begun() {
    let each = json!({"id": "each", "task": "look", "for_each": [1, 2, 3], "max_parallel": 2});
    let mut bench = sequence(json!([each]));
    assert_eq!(asking(&bench), 2);
    let chosen = || choice("PATCHER", "pkg.upgrade", false);
    choose(&mut bench, "each[0]", chosen());
    bench.trigger(Trigger::Pause { by: by() });
    bench.answer("each[0]", ok(json!(1)));
    choose(&mut bench, "each[1]", chosen());
    assert_eq!(bench.at_work(), [""; 0]);
    bench.trigger(Trigger::Resume { by: by() });
    assert_eq!(
        (bench.at_work(), asking(&bench)),
        (vec!["each[1]#1".to_owned()], 1),
        "once, though it was wished twice"
    );
    bench.crash(bench.journal.len());
    assert_eq!(bench.run.status(), RunStatus::Running, "the journal can be read");
}

#[test]
fn a_change_is_undone_by_who_made_it_though_another_is_being_chosen() {
    let write = json!({"id": "w", "agent": "WRITER", "tool": "fs.write", "input": {"path": "w"}});
    let task = json!({"id": "t", "task": "write", "tool": "fs.write", "input": {"path": "t"}});
    let mut bench = sequence(json!([write, task]));
    bench.call("w", planned("w"));
    bench.call("w", ok(json!(1)));
    choose(&mut bench, "t", choice("WRITER", "fs.write", true));
    bench.call("t", planned("t"));
    bench.call("t", done(Status::Failed, Value::Null));
    assert_eq!(bench.run.status(), RunStatus::Failed);
    bench.trigger(Trigger::Retry { by: by() });
    assert_eq!(asking(&bench), 1);
    bench.trigger(Trigger::Undo { by: by() });
    assert_eq!(bench.asked_for("t"), Some(Call::Undo(Arc::new(json!({"write": "t"})))));
    bench.call("t", ok(json!(1)));
    bench.call("w", ok(json!(1)));
    assert_eq!(bench.run.status(), RunStatus::RolledBack);
}

#[test]
fn the_undo_of_a_run_that_had_failed_is_no_new_failure() {
    let write = json!({"id": "w", "agent": "WRITER", "tool": "fs.write", "input": {"path": "w"}});
    let document = json!({"name": "t", "mode": "sequential", "on_failure": "rollback", "steps": [write, echo("a")]});
    let mut bench = Bench::start(document);
    bench.call("w", planned("w"));
    bench.call("w", ok(json!(1)));
    bench.answer("a", done(Status::Failed, Value::Null));
    // Somebody else has changed the file since: a person is needed.
    let changed = json!(null);
    let Some(Effect::Undo { .. }) = bench.pending.first() else { panic!("{:?}", bench.pending) };
    for _ in 0..8 {
        bench.call("w", done(Status::Failed, changed.clone()));
        if bench.ended {
            break;
        }
        bench.sleep();
    }
    assert_eq!(bench.run.status(), RunStatus::NeedsHuman);
    let before = bench.journal.len();
    bench.trigger(Trigger::Undo { by: by() });
    let kinds: Vec<_> = bench.events(bench.journal.len()).into_iter().map(|(_, event)| event.kind()).collect();
    assert_eq!(kinds[before..], ["rollback_begun", "undo_begun"]);
}

fn with_values_of(max_value_bytes: usize) -> World {
    World { limits: Limits { max_steps: 100, max_value_bytes }, ..world() }
}

#[test]
fn large_inputs_are_journalled_before_more_of_them_are_made() {
    let steps: Vec<Value> = (0..9)
        .map(|n| json!({"id": format!("s{n}"), "agent": "TESTBED", "tool": "cp.echo", "input": {"v": "${inputs.x}"}}))
        .collect();
    let document = json!({"name": "t", "mode": "parallel", "inputs": {"x": "x".repeat(1 << 20)}, "steps": steps});
    let mut bench = Bench::of(check(&document, &with_values_of(2 << 20)).expect("a plan"));
    assert_eq!((bench.at_work().len(), bench.wake), (4, Some(at(0))));
    bench.crash(bench.journal.len());
    assert_eq!(bench.wake, Some(at(0)), "those that were lost, and the others in their turn");
    while bench.at_work().len() < 9 {
        bench.sleep();
    }
    for n in 0..9 {
        bench.answer(&format!("s{n}"), ok(json!(1)));
    }
    assert_eq!(bench.run.status(), RunStatus::Succeeded);
}

#[test]
fn a_run_holds_only_so_much() {
    let grow =
        |n: usize| json!({"id": format!("s{n}"), "agent": "TESTBED", "tool": "cp.echo", "input": {"v": "${inputs.x}"}});
    let steps: Vec<Value> = (0..20).map(grow).collect();
    let document = json!({"name": "t", "mode": "sequential", "inputs": {"x": "x".repeat(900)}, "steps": steps});
    let mut bench = Bench::of(check(&document, &with_values_of(1_000)).expect("a plan"));
    let mut answered = 0;
    while let Some(step) = bench.at_work().first().map(|name| name.replace("#1", "")) {
        bench.answer(&step, ok(json!("y".repeat(900))));
        answered += 1;
    }
    assert_eq!((answered, bench.run.status()), (9, RunStatus::Failed));
    assert!(bench.journal.iter().any(|(_, text)| text.contains("together larger than 16000 bytes")));
}

#[test]
fn items_are_bounded_by_their_size_and_so_is_what_is_made_of_them() {
    let mut each = echo("each");
    each["for_each"] = json!("${inputs.list}");
    let document = json!({"name": "t", "mode": "sequential", "inputs": {"list": [1, 2]}, "steps": [each, echo("b")]});
    let plan = || check(&document, &with_values_of(100)).expect("a plan");
    let mut bench = Bench::of(plan());
    bench.answer("each[0]", ok(json!("x".repeat(60))));
    bench.answer("each[1]", ok(json!("x".repeat(60))));
    assert_eq!(bench.run.status(), RunStatus::Failed);
    assert!(bench.journal.iter().any(|(_, text)| text.contains("together larger than 100 bytes")));
    bench.trigger(Trigger::Retry { by: by() });
    assert_eq!(bench.run.status(), RunStatus::Failed, "it ends again, and does not stand still");
}
