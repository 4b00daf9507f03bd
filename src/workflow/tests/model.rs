//! Random graphs, random answers, crashes at random points: what must hold of every run, checked on its journal by
//! rules of its own.
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::ids::SignalName;
use crate::toolkit::output::Status;
use crate::workflow::advance::MOST_LOST;
use crate::workflow::advance::Trigger;
use crate::workflow::event::RunEvent;
use crate::workflow::plan::Mode;
use crate::workflow::run::Run;
use crate::workflow::status::RunStatus;
use crate::workflow::status::SkipCause;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Doer;
use crate::workflow::step::Step;
use crate::workflow::tests::host::Reply;
use crate::workflow::tests::host::children_after;
use crate::workflow::tests::host::host_after;
use crate::workflow::tests::host::respond;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::plan;

#[derive(Debug, Clone)]
enum Action {
    Answer(Index, Reply),
    Sleep,
    Pass(i64),
    /// Loses this many of the newest events, then starts anew.
    Crash(usize),
    Cancel(bool),
    Signal,
    Decide(Index, bool),
    Undo,
    Retry,
}

fn document() -> impl Strategy<Value = Value> {
    let step = (0_u8..13, 1_u32..4, 0_u8..8, any::<u8>(), prop::collection::vec(any::<Index>(), 0..3));
    let on_failure = prop::sample::select(vec!["keep", "rollback"]);
    let mode = prop::sample::select(vec!["dag", "dag", "dag", "parallel", "sequential", "pipeline"]);
    let steps = prop::collection::vec(step, 1..8);
    (mode, steps, 5_u32..200, on_failure).prop_map(|(mode, steps, timeout, on_failure)| {
        let steps: Vec<_> = steps
            .iter()
            .enumerate()
            .map(|(at, (kind, max_attempts, when, broken, needs))| {
                let retry = json!({"max_attempts": max_attempts, "initial": "1s", "max": "5s"});
                let id = format!("s{at}");
                let work = |agent: &str, tool: &str| json!({"id": id, "agent": agent, "tool": tool, "retry": retry});
                let mut step = match kind {
                    0..=2 => work("TESTBED", "cp.echo"),
                    3 | 4 => work("PATCHER", "pkg.upgrade"),
                    5..=7 => work("WRITER", "fs.write"),
                    8 => json!({"id": id, "sleep": "7s"}),
                    9 => json!({"id": id, "wait_for": "go", "timeout": "50s"}),
                    10 => json!({"id": id, "approve": {"expires": "40s"}}),
                    _ => json!({"id": id, "playbook": "scan", "retry": retry}),
                };
                if !(8..=10).contains(kind) && max_attempts % 3 == 0 {
                    step["for_each"] = json!([1, 2, 3]);
                    step["max_parallel"] = json!(2);
                }
                if kind % 4 == 3 && *kind != 8 {
                    step["approve"] = json!({"expires": "60s"});
                }
                if mode == "dag" && at > 0 {
                    let needs: BTreeSet<_> = needs.iter().map(|need| format!("s{}", need.index(at))).collect();
                    step["needs"] = json!(needs);
                }
                match when {
                    0 => step["when"] = json!("1 > 2"),
                    1 => step["when"] = json!("inputs.n == 1"),
                    _ => {}
                }
                if broken % 16 == 0 && step.get("agent").is_some() {
                    step["input"] = json!({"x": "${inputs.n / 0}"});
                }
                if broken % 16 == 0 && step.get("playbook").is_some() {
                    step["inputs"] = json!({"root": "${inputs.n / 0}"});
                }
                step
            })
            .collect();
        json!({"name": "t", "mode": mode, "timeout": format!("{timeout}s"), "inputs": {"n": 1},
               "on_failure": on_failure, "steps": steps})
    })
}

fn action() -> impl Strategy<Value = Action> {
    use Status::{Aborted, Degraded, Denied, Failed, Ok, TimedOut, Unavailable};
    let statuses = vec![Ok, Ok, Ok, Degraded, Unavailable, Failed, Failed, TimedOut, Denied, Aborted];
    let reply = prop_oneof![
        6 => prop::sample::select(statuses).prop_map(Reply::Done),
        1 => (0_u64..30).prop_map(Reply::Refused),
        1 => Just(Reply::NotDone),
        1 => any::<bool>().prop_map(Reply::NoAnswer),
        1 => any::<bool>().prop_map(Reply::Lost),
    ];
    prop_oneof![
        20 => (any::<Index>(), reply).prop_map(|(which, reply)| Action::Answer(which, reply)),
        8 => Just(Action::Sleep),
        2 => (0_i64..20).prop_map(Action::Pass),
        2 => (0_usize..4).prop_map(Action::Crash),
        1 => any::<bool>().prop_map(Action::Cancel),
        2 => Just(Action::Signal),
        3 => (any::<Index>(), prop::bool::weighted(0.8)).prop_map(|(which, yes)| Action::Decide(which, yes)),
        1 => Just(Action::Undo),
        1 => Just(Action::Retry),
    ]
}

fn act(bench: &mut Bench, action: &Action) {
    let by = || "token:x".to_owned();
    match action {
        Action::Answer(which, reply) if !bench.pending.is_empty() => {
            let chosen = which.index(bench.pending.len());
            respond(bench, chosen, reply);
        }
        Action::Sleep if bench.wake.is_some() && !bench.ended => bench.sleep(),
        Action::Pass(seconds) => bench.now += TimeDelta::seconds(*seconds),
        Action::Crash(lost) => bench.crash(bench.journal.len().saturating_sub(*lost).max(bench.durable)),
        Action::Cancel(undo) => bench.trigger(Trigger::Cancel { by: by(), undo: *undo }),
        Action::Signal => {
            let name = SignalName::new("go").expect("a signal name");
            bench.trigger(Trigger::Signal { name, payload: json!(1).into(), by: by() });
        }
        Action::Decide(which, approved) => {
            let all: Vec<_> = bench.run.steps().map(|(step, _)| step.id.clone()).collect();
            let step = which.get(&all).clone();
            bench.trigger(Trigger::Decide { step, approved: *approved, by: by(), digest: None, comment: None });
        }
        Action::Undo => bench.trigger(Trigger::Undo { by: by() }),
        Action::Retry => bench.trigger(Trigger::Retry { by: by() }),
        Action::Answer(..) | Action::Sleep => {}
    }
}

/// From here on all goes well, and the run has to end.
fn bring_to_its_end(bench: &mut Bench) {
    for _ in 0..300 {
        if bench.ended {
            return;
        }
        if bench.pending.is_empty() { bench.sleep() } else { respond(bench, 0, &Reply::Done(Status::Ok)) }
    }
    panic!("the run does not end: {}", bench.statuses());
}

/// The state that the journal leads to is the state in memory, but for the timer, which is not a matter of the journal.
fn check_replay(bench: &Bench) {
    let mut replayed = Run::replay(bench.run.id(), bench.events(bench.journal.len())).expect("can be read");
    replayed.armed = bench.run.armed;
    assert_eq!(replayed, bench.run);
    // One that looks on sees the same.
    let mut events = bench.events(bench.journal.len()).into_iter();
    let mut follower = Run::replay(bench.run.id(), events.next()).expect("it was accepted");
    events.for_each(|(at, event)| follower.follow(at, &event));
    (follower.armed, follower.ready, follower.doomed) =
        (replayed.armed, replayed.ready.clone(), replayed.doomed.clone());
    assert_eq!(follower, replayed);
}

/// How each step ended according to the journal alone, with the rules that hold on the way.
fn check_journal(bench: &Bench) -> BTreeMap<String, StepStatus> {
    let plan = bench.run.plan();
    let needs_of = |id: &str| -> Vec<String> {
        // An item waits for what its step waits for.
        let id = id.split('[').next().unwrap_or(id);
        let place = plan.steps().iter().position(|step| step.id.as_str() == id).expect("a step");
        match plan.mode() {
            Mode::Parallel => Vec::new(),
            Mode::Dag => plan.steps()[place].needs.iter().map(ToString::to_string).collect(),
            Mode::Sequential | Mode::Pipeline if place == 0 => Vec::new(),
            Mode::Sequential | Mode::Pipeline => vec![plan.steps()[place - 1].id.to_string()],
        }
    };
    let (mut ended, mut undone) = (BTreeMap::new(), BTreeSet::new());
    // What was changed, by step and plan: a step that plans anew changes something else.
    let mut changes: Vec<(String, String)> = Vec::new();
    let (mut children, mut told) = (BTreeSet::new(), BTreeSet::new());
    let mut satisfied = BTreeMap::new();
    let (mut results, mut losses) = (BTreeMap::<String, u32>::new(), BTreeMap::<String, u32>::new());
    let events = bench.events(bench.journal.len());
    for (place, (_, event)) in events.iter().enumerate() {
        let id = event.step().map(ToString::to_string).unwrap_or_default();
        let step = event.step().and_then(|id| Some(bench.run.spec(bench.run.place(id)?)));
        // It was refused, and so was not begun.
        let gives_up = matches!(event, RunEvent::StepDeferred { .. } | RunEvent::StepEnded { .. });
        if gives_up && children.remove(&id) {
            changes.remove(changes.iter().rposition(|(step, _)| *step == id).expect("it was begun"));
        }
        let end = match event {
            RunEvent::StepStarted { child, .. } => {
                assert!(!ended.contains_key(&id), "{id} begins after its end");
                assert!(needs_of(&id).iter().all(|need| satisfied.get(need) == Some(&true)), "{id} begins too early");
                let safe = |doer: &Doer| doer.facts.repeatable || doer.facts.changes;
                let may_repeat = step.and_then(Step::doer).is_some_and(safe);
                if child.is_some() {
                    changes.push((id.clone(), String::new()));
                    children.insert(id.clone());
                }
                assert!(may_repeat || !losses.contains_key(&id), "{id} is repeated, its outcome being unknown");
                None
            }
            RunEvent::AttemptDone { result, retry_at, .. } => {
                *results.entry(id.clone()).or_default() += 1;
                retry_at.is_none().then(|| result.output.status.into())
            }
            RunEvent::AttemptLost { again, .. } => {
                *losses.entry(id.clone()).or_default() += 1;
                (!again).then(|| bench.run.step(event.step().expect("a step")).expect("a step").status())
            }
            RunEvent::StepSkipped { .. } => Some(StepStatus::Skipped),
            RunEvent::StepEnded { status, .. } => Some(*status),
            RunEvent::StepGiven { result, .. } => Some(result.output.status.into()),
            RunEvent::Finished { .. } => {
                let next = events.get(place + 1).map(|(_, event)| event.kind());
                assert!(matches!(next, None | Some("retried" | "rollback_begun")), "{next:?} follows the end");
                None
            }
            RunEvent::ChildEnded { child, has_changes, .. } => {
                // What the attempt came to may be lost after that: then the child is asked again.
                let is_first = told.insert(*child);
                assert_eq!(children.remove(&id), is_first, "{id} has no child that could end");
                if is_first && !has_changes {
                    changes.remove(changes.iter().rposition(|(step, _)| *step == id).expect("it was begun"));
                }
                None
            }
            RunEvent::Retried { steps, .. } => {
                for id in steps.iter().map(ToString::to_string) {
                    ended.remove(&id).expect("it had ended");
                    satisfied.remove(&id);
                    results.remove(&id);
                    losses.remove(&id);
                }
                None
            }
            RunEvent::ChangeBegun { .. } => {
                let plan = events[..place].iter().rev().find_map(|(_, earlier)| match earlier {
                    RunEvent::ChangePlanned { step, planned, .. } if step.as_str() == id => Some(&planned.plan),
                    _ => None,
                });
                let change = (id.clone(), plan.expect("it was planned").to_string());
                changes.retain(|earlier| *earlier != change);
                changes.push(change);
                None
            }
            RunEvent::UndoBegun { .. } => {
                assert_eq!(changes.last().map(|(step, _)| step), Some(&id), "the last change is undone first");
                None
            }
            RunEvent::UndoDone { result, .. } => {
                if result.output.status == Status::Ok {
                    changes.pop();
                    undone.insert(id.clone());
                }
                None
            }
            _ => None,
        };
        if let Some(status) = end {
            assert!(status.is_final());
            assert_eq!(ended.insert(id.clone(), status), None, "{id} ends twice");
            let by_condition = matches!(event, RunEvent::StepSkipped { cause: SkipCause::When, .. });
            let good = matches!(status, StepStatus::Succeeded | StepStatus::Degraded | StepStatus::Unavailable);
            satisfied.insert(id, good || by_condition);
        }
    }
    for step in plan.steps() {
        let id = step.id.as_str();
        assert!(results.get(id).copied().unwrap_or(0) <= step.retry.max_attempts, "{id} has too many attempts");
        assert!(losses.get(id).copied().unwrap_or(0) <= MOST_LOST + 1, "{id} is lost too often");
    }
    assert!(!bench.ended || children.is_empty(), "{children:?} have not ended");
    let is_left = |id: &String| changes.iter().any(|(step, _)| step == id);
    for (id, status) in ended.iter_mut().filter(|(id, status)| undone.contains(*id) && status.is_success()) {
        // Of a step that was tried again each try may have changed something.
        let is_child = |id: &str| plan.steps().iter().any(|s| id.starts_with(s.id.as_str()) && s.playbook().is_some());
        assert!(!is_left(id) || is_child(id), "{id} is undone");
        if !is_left(id) {
            *status = StepStatus::Undone;
        }
    }
    ended
}

/// Figures and verdict, computed from how the steps ended.
fn check_verdict(bench: &Bench, ended: &BTreeMap<String, StepStatus>) {
    use StepStatus::{Degraded, Denied, Failed, Succeeded, TimedOut, Unavailable, Undone};
    let steps = ended.iter().filter(|(id, _)| !id.contains('['));
    let count = |wanted: &[StepStatus]| steps.clone().filter(|(_, status)| wanted.contains(status)).count();
    let good = count(&[Succeeded, Degraded, Undone]);
    let bad = count(&[Failed, Denied, TimedOut]);
    let share = |of: usize| (of > 0).then(|| good as f64 / of as f64);
    let Some((_, RunEvent::Finished { status, success_rate, coverage, .. })) = bench.events(bench.journal.len()).pop()
    else {
        panic!("the last event is the end")
    };
    assert_eq!(success_rate, share(good + bad));
    assert_eq!(coverage, share(good + count(&[Unavailable])));
    assert!([success_rate, coverage].iter().flatten().all(|figure| (0.0..=1.0).contains(figure)));
    assert_eq!((bench.run.success_rate(), bench.run.coverage()), (success_rate, coverage));
    let all: Vec<_> = bench.events(bench.journal.len()).iter().map(|(_, event)| event.kind()).collect();
    // What was before it was done again is over.
    let kinds = &all[all.iter().rposition(|kind| *kind == "retried").unwrap_or(0)..];
    if kinds.contains(&"rollback_begun") {
        assert!(matches!(status, RunStatus::RolledBack | RunStatus::NeedsHuman), "{status:?}");
        assert_eq!(status == RunStatus::RolledBack, !bench.run.has_changes());
        return;
    }
    if kinds.contains(&"failing") {
        assert_eq!(status, RunStatus::Failed);
        return;
    }
    let expected = match (kinds.contains(&"cancelled"), kinds.contains(&"timed_out"), bad) {
        (true, true, _) => panic!("stopped twice"),
        (true, false, _) => RunStatus::Cancelled,
        (false, true, _) => RunStatus::TimedOut,
        (false, false, 0) if count(&[StepStatus::Cancelled]) > 0 => RunStatus::Cancelled,
        (false, false, 0) => RunStatus::Succeeded,
        (false, false, _) => RunStatus::Failed,
    };
    assert_eq!((status, bench.run.status()), (expected, expected));
}

proptest! {
    #[test]
    fn every_run_ends_as_its_journal_says(
        document in document(),
        actions in prop::collection::vec(action(), 0..40),
    ) {
        let mut bench = Bench::of(plan(document));
        for action in &actions {
            act(&mut bench, action);
            check_replay(&bench);
        }
        bring_to_its_end(&mut bench);
        check_replay(&bench);
        let ended = check_journal(&bench);
        prop_assert_eq!(ended.len(), bench.run.steps().count(), "each step has one final status");
        for (step, state) in bench.run.steps() {
            prop_assert_eq!(Some(&state.status()), ended.get(step.id.as_str()));
            let undone = state.status() == StepStatus::Undone;
            let made_by = |change: &String| change.starts_with(&format!("{}/", step.id));
            prop_assert!(!undone || !bench.host.iter().any(made_by), "{} is still there", step.id);
        }
        prop_assert!(bench.run.status() != RunStatus::RolledBack || bench.host.is_empty(), "{:?}", bench.host);
        check_verdict(&bench, &ended);
    }

    #[test]
    fn any_part_of_a_journal_can_be_gone_on_from(
        document in document(),
        actions in prop::collection::vec(action(), 0..30),
    ) {
        let mut bench = Bench::of(plan(document));
        actions.iter().filter(|action| !matches!(action, Action::Crash(_))).for_each(|action| act(&mut bench, action));
        bring_to_its_end(&mut bench);
        let whole = bench.journal.clone();
        for journaled in 1..=whole.len() {
            bench.journal = whole.clone();
            bench.host = host_after(&bench, journaled);
            bench.children = children_after(&bench, journaled);
            bench.now = whole[journaled - 1].0;
            bench.crash(journaled);
            if journaled < whole.len() {
                bring_to_its_end(&mut bench);
            }
            let ended = check_journal(&bench);
            prop_assert_eq!(ended.len(), bench.run.steps().count());
            check_verdict(&bench, &ended);
        }
    }
}
