//! A host for the model: it knows which changes are made, and by which plan.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::toolkit::change::Call;
use crate::toolkit::output::Status;
use crate::workflow::advance::Answer;
use crate::workflow::advance::Effect;
use crate::workflow::event::RunEvent;
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
    // What was handed to an agent was on disk, and is: only what followed can be lost.
    let begun = |(_, text): &(_, String)| text.contains(&format!("\"step\":\"{step}\""));
    let known = bench.journal.iter().rposition(begun).map_or(1, |place| place + 1);
    bench.durable = bench.durable.max(known);
    bench.call(&step, answer);
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
    host
}
