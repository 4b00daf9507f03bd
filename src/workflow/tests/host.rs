//! A host for the model: it knows which changes are made, and by which plan.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::ids::RunId;
use crate::toolkit::change::Call;
use crate::toolkit::output::Status;
use crate::workflow::advance::Answer;
use crate::workflow::advance::Effect;
use crate::workflow::child::ChildEnd;
use crate::workflow::event::RunEvent;
use crate::workflow::status::RunStatus;
use crate::workflow::tests::support::Bench;
use crate::workflow::tests::support::done;
use crate::workflow::tests::support::planned;

/// How an agent answers.
#[derive(Debug, Clone)]
pub enum Reply {
    Done(Status),
    Refused(u64),
    NotDone,
    /// The last two may come although the work was done.
    NoAnswer(bool),
    Lost(bool),
}

/// Plays the agent: does on the host what it is asked for, or not, and answers so, or otherwise.
pub fn respond(bench: &mut Bench, chosen: usize, reply: &Reply) {
    if matches!(bench.pending[chosen], Effect::RunChild { .. } | Effect::UndoChild { .. }) {
        return respond_as_child(bench, chosen, reply);
    }
    let (step, call) = match &bench.pending[chosen] {
        Effect::Dispatch { step, call, .. } => (step.to_string(), call.clone()),
        Effect::Undo { step, plan, .. } => (step.to_string(), Call::Undo(plan.clone())),
        other => panic!("{other:?}"),
    };
    let plan = match &call {
        Call::Apply(plan) | Call::Settle(plan) | Call::Undo(plan) => plan["write"].as_str().expect("a plan").to_owned(),
        Call::Run | Call::Plan => format!("{step}/{}", bench.journal.len()),
    };
    let is_made = bench.host.contains(&plan);
    let (does_it, answer) = match reply {
        Reply::Done(status) => (*status == Status::Ok, done(*status, json!(1))),
        Reply::Refused(after) => {
            (false, Answer::Refused { retry_after: Duration::from_secs(*after), detail: "open".into() })
        }
        Reply::NotDone => (false, Answer::NotDone { detail: "panicked".into() }),
        Reply::NoAnswer(done) => (*done, Answer::NoAnswer),
        Reply::Lost(done) => (*done, Answer::Lost { detail: "ended".into() }),
    };
    let answer = match (&call, answer) {
        (Call::Plan, Answer::Done(result)) if result.output.status == Status::Ok => planned(&plan),
        (Call::Settle(_), Answer::Done(result)) if result.output.status == Status::Ok => {
            let state = if is_made { json!({"state": "applied", "data": 1}) } else { json!({"state": "not_applied"}) };
            done(Status::Ok, state)
        }
        (_, answer) => answer,
    };
    match call {
        Call::Apply(_) if does_it => {
            assert!(!is_made, "{plan} is done twice");
            bench.host.push(plan);
        }
        Call::Undo(_) if does_it && is_made => {
            bench.host.retain(|made| *made != plan);
        }
        _ => {}
    }
    answer_durably(bench, &step, answer);
}

fn answer_durably(bench: &mut Bench, step: &str, answer: Answer) {
    // What was handed to an agent was on disk, and is: only what followed can be lost.
    let begun = |(_, text): &(_, String)| text.contains(&format!("\"step\":\"{step}\""));
    let known = bench.journal.iter().rposition(begun).map_or(1, |place| place + 1);
    bench.durable = bench.durable.max(known);
    bench.call(step, answer);
}

/// Plays the engine: a child that has ended has, whatever its parent knows; any other ends now, as it is told.
fn respond_as_child(bench: &mut Bench, chosen: usize, reply: &Reply) {
    use Status::{Aborted, Degraded, Denied, Failed, Ok, TimedOut, Unavailable};
    let (step, child, again) = match &bench.pending[chosen] {
        Effect::RunChild { step, child, again, .. } => (step.to_string(), *child, Some(*again)),
        Effect::UndoChild { step, child, .. } => (step.to_string(), *child, None),
        other => panic!("{other:?}"),
    };
    let made = format!("{step}/{child}");
    let known = bench.children.get(&child).cloned();
    let end = |status, has_changes| ChildEnd { status, has_changes, ..ChildEnd::of_none(child) };
    let end = match (again, known, reply) {
        (Some(again), Some(known), _) => {
            assert!(again, "{made} is begun twice");
            known
        }
        (Some(_), None, Reply::Refused(after)) => {
            let retry_after = Duration::from_secs(*after);
            return answer_durably(bench, &step, Answer::Refused { retry_after, detail: "full".into() });
        }
        (Some(_), None, Reply::Done(Ok)) => end(RunStatus::Succeeded, true),
        (Some(_), None, Reply::Done(Degraded)) => ChildEnd { in_part: true, ..end(RunStatus::Succeeded, false) },
        (Some(_), None, Reply::Done(TimedOut)) => end(RunStatus::TimedOut, true),
        (Some(_), None, Reply::Done(Aborted)) => end(RunStatus::Cancelled, false),
        (Some(_), None, Reply::Done(Denied)) => end(RunStatus::RolledBack, false),
        (Some(_), None, Reply::Done(Unavailable)) => end(RunStatus::NeedsHuman, true),
        (Some(_), None, Reply::Done(Failed) | _) => end(RunStatus::Failed, true),
        (None, known, Reply::Done(Ok)) => {
            let changed = known.is_some_and(|known| known.has_changes);
            end(if changed { RunStatus::RolledBack } else { RunStatus::Succeeded }, false)
        }
        (None, known, Reply::Done(_)) => {
            let changed = known.is_some_and(|known| known.has_changes);
            end(if changed { RunStatus::NeedsHuman } else { RunStatus::Failed }, changed)
        }
        (None, ..) => return answer_durably(bench, &step, Answer::NotDone { detail: "away".into() }),
    };
    bench.host.retain(|there| *there != made);
    bench.host.extend(end.has_changes.then_some(made));
    bench.children.insert(child, end.clone());
    answer_durably(bench, &step, Answer::Child(end));
}

/// How children stand when these events are on disk: those whose end is not told there may still run.
pub fn children_after(bench: &Bench, journaled: usize) -> BTreeMap<RunId, ChildEnd> {
    let (mut children, mut changed) = (BTreeMap::new(), BTreeMap::<_, Vec<RunId>>::new());
    for (_, event) in bench.events(journaled) {
        match event {
            RunEvent::ChildEnded { step, child, status, has_changes, .. } => {
                children.insert(child, ChildEnd { status, has_changes, ..ChildEnd::of_none(child) });
                changed.entry(step).or_default().extend(has_changes.then_some(child));
            }
            RunEvent::UndoDone { step, result, .. } if result.output.status == Status::Ok => {
                if let Some(child) = changed.get_mut(&step).and_then(Vec::pop) {
                    children.insert(child, ChildEnd { status: RunStatus::RolledBack, ..ChildEnd::of_none(child) });
                }
            }
            _ => {}
        }
    }
    children
}

/// What may be on the host when these events are on disk: what was begun is taken to have been done.
pub fn host_after(bench: &Bench, journaled: usize) -> Vec<String> {
    let (mut host, mut plans) = (Vec::new(), BTreeMap::new());
    for (_, event) in bench.events(journaled) {
        let id = event.step().map(ToString::to_string).unwrap_or_default();
        if let RunEvent::ChangePlanned { planned, .. } = &event {
            plans.insert(id.clone(), planned.plan["write"].as_str().expect("a plan").to_owned());
        }
        let Some(plan) = plans.get(&id) else { continue };
        let was_there = host.contains(plan);
        let is_there = match event {
            RunEvent::ChangeBegun { .. } => true,
            RunEvent::AttemptDone { result, .. } => result.output.status == Status::Ok && was_there,
            RunEvent::AttemptLost { again, .. } => !again && was_there,
            RunEvent::StepDeferred { .. } => false,
            RunEvent::UndoDone { result, .. } => result.output.status != Status::Ok && was_there,
            _ => continue,
        };
        host.retain(|there| there != plan);
        host.extend(is_there.then(|| plan.clone()));
    }
    let steps = bench.events(journaled).into_iter().filter_map(|(_, event)| match event {
        RunEvent::ChildEnded { step, child, .. } => Some((step, child)),
        _ => None,
    });
    let children = children_after(bench, journaled);
    host.extend(steps.filter(|(_, child)| children[child].has_changes).map(|(step, child)| format!("{step}/{child}")));
    host
}
