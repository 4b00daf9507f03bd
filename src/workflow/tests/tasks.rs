//! Steps that name a task instead of an agent: chosen once, journalled, and not chosen again.
use serde_json::json;

use crate::ids::{AgentId, ToolId};
use crate::toolkit::output::Status;
use crate::workflow::advance::Effect;
use crate::workflow::advance::Trigger;
use crate::workflow::check::check;
use crate::workflow::event::RunEvent;
use crate::workflow::step::{Choice, Doer, Task, ToolFacts};
use crate::workflow::tests::support::{Bench, done, ok, plan, step_id, world};

fn document() -> serde_json::Value {
    json!({"name": "t", "steps": [
        {"id": "first", "agent": "TESTBED", "tool": "cp.echo"},
        {"id": "chosen", "task": " find out what changed ", "needs": ["first"], "input": {"x": 1}},
    ]})
}

fn choice(agent: &str, tool: &str) -> Choice {
    let facts = ToolFacts { repeatable: true, needs_evidence: true, learn: true, changes: false };
    let doer = Doer { agent: AgentId::new(agent).expect("id"), tool: ToolId::new(tool).expect("id"), facts };
    Choice { doer, confidence: 0.75, reasons: vec!["near".to_owned()] }
}

/// The tasks for which a choice is awaited.
fn asked(bench: &Bench) -> Vec<Task> {
    let task = |effect: &Effect| match effect {
        Effect::Choose { task, .. } => Some(task.clone()),
        _ => None,
    };
    bench.pending.iter().filter_map(task).collect()
}

fn choose(bench: &mut Bench, answer: Result<Choice, String>) {
    bench.pending.retain(|effect| !matches!(effect, Effect::Choose { .. }));
    bench.trigger(Trigger::Chosen { step: step_id("chosen"), choice: answer });
}

fn up_to_the_choice() -> Bench {
    let mut bench = Bench::start(document());
    assert_eq!(asked(&bench), [], "nobody is chosen before the step is ready");
    bench.answer("first", ok(json!(1)));
    let task = Task { text: "find out what changed".to_owned(), tool: None };
    assert_eq!(asked(&bench), [task]);
    assert_eq!(bench.statuses(), "first:succeeded chosen:pending");
    bench
}

#[test]
fn the_chosen_agent_does_the_step_with_its_tool() {
    let mut bench = up_to_the_choice();
    choose(&mut bench, Ok(choice("HARDWARE-DELL", "fs.manifest")));
    let dispatched = bench.pending.iter().any(|effect| {
        matches!(effect, Effect::Dispatch { agent, tool, .. }
            if agent.as_str() == "HARDWARE-DELL" && tool.as_str() == "fs.manifest")
    });
    assert!(dispatched, "{:?}", bench.pending);
    bench.answer("chosen", done(Status::Ok, json!(2)));
    assert_eq!(bench.statuses(), "first:succeeded chosen:succeeded");
    assert!(bench.ended);
    let state = bench.run.step(&step_id("chosen")).expect("a step");
    assert_eq!(state.chosen().map(|choice| choice.confidence), Some(0.75));
}

#[test]
fn a_choice_that_was_journalled_is_not_made_again_and_one_that_was_not_is() {
    let mut bench = up_to_the_choice();
    let before = bench.journal.len();
    bench.crash(before);
    assert_eq!(asked(&bench).len(), 1, "it is asked again");
    choose(&mut bench, Ok(choice("HARDWARE-DELL", "fs.manifest")));
    let chosen =
        bench.events(bench.journal.len()).iter().filter(|(_, e)| matches!(e, RunEvent::StepChosen { .. })).count();
    assert_eq!(chosen, 1);
    // The service dies after the choice and before the start.
    bench.crash(before + 1);
    assert_eq!(asked(&bench), []);
    assert_eq!(bench.at_work(), ["chosen#1"]);
    bench.answer("chosen", done(Status::Ok, json!(2)));
    assert_eq!(bench.statuses(), "first:succeeded chosen:succeeded");
}

#[test]
fn without_a_confident_agent_the_step_fails_and_says_why() {
    let mut bench = up_to_the_choice();
    choose(&mut bench, Err("no agent is confident: 0.12".to_owned()));
    assert_eq!(bench.statuses(), "first:succeeded chosen:failed");
    let note = format!("{:?}", bench.run.step(&step_id("chosen")).expect("a step").note());
    assert!(note.contains("no_agent_chosen") && note.contains("0.12"), "{note}");
    assert!(bench.ended);
}

#[test]
fn an_answer_after_a_cancellation_changes_nothing() {
    let mut bench = up_to_the_choice();
    bench.trigger(Trigger::Cancel { by: "token:test".into(), undo: false });
    assert_eq!(bench.statuses(), "first:succeeded chosen:skipped");
    let rows = bench.journal.len();
    choose(&mut bench, Ok(choice("HARDWARE-DELL", "fs.manifest")));
    assert_eq!(bench.journal.len(), rows);
}

#[test]
fn a_condition_is_looked_at_before_anybody_is_chosen() {
    let bench = Bench::start(json!({"steps": [{"id": "chosen", "task": "x", "when": "1 > 2"}]}));
    assert_eq!((asked(&bench).len(), bench.statuses().as_str()), (0, "chosen:skipped"));
}

#[test]
fn a_task_is_checked_and_its_tool_limits_who_may_do_it() {
    let with = |step: serde_json::Value| check(&json!({"steps": [step]}), &world());
    let plan = plan(json!({"steps": [{"id": "a", "task": "x", "tool": "fs.manifest"}]}));
    assert_eq!(plan.steps()[0].timeout.as_secs(), 20);
    for (step, pointer) in [
        (json!({"id": "a", "task": "x", "agent": "TESTBED"}), "/steps/0/task"),
        (json!({"id": "a", "task": "  "}), "/steps/0/task"),
        (json!({"id": "a", "task": 3}), "/steps/0/task"),
        (json!({"id": "a", "task": "y".repeat(4_001)}), "/steps/0/task"),
        (json!({"id": "a", "task": "x", "tool": "no.tool"}), "/steps/0/tool"),
    ] {
        let faults = with(step.clone()).expect_err("a fault");
        assert_eq!(faults[0].pointer, pointer, "{step}");
    }
}

#[test]
fn plans_of_earlier_releases_are_read_as_they_were_written() {
    let plan = plan(json!({"steps": [{"id": "a", "agent": "TESTBED", "tool": "cp.echo"}]}));
    let written = serde_json::to_value(&plan).expect("JSON");
    let step = &written["steps"][0];
    assert_eq!((&step["agent"], &step["tool"]), (&json!("TESTBED"), &json!("cp.echo")));
    assert!(step["facts"].is_object() && step.get("task").is_none(), "{step}");
    assert_eq!(serde_json::from_value::<crate::workflow::plan::Plan>(written).expect("a plan"), plan);
}
