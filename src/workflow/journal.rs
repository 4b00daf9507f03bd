//! What is written down of an event: its journal row, and the audit entry that goes with it in one transaction.
use chrono::{DateTime, Utc};
use sha2::Digest as _;
use sha2::Sha256;

use crate::audit::entry::Entry;
use crate::audit::entry::canonical;
use crate::ids::Digest;
use crate::ids::NodeId;
use crate::workflow::body::Body;
use crate::workflow::child::Parent;
use crate::workflow::event::RunEvent;
use crate::workflow::plan::Plan;
use crate::workflow::record::JournalRow;
use crate::workflow::run::Run;
use crate::workflow::status::status_word;
use crate::workflow::step::Doer;

/// Who writes, and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    pub node: &'a NodeId,
    pub epoch: i64,
    pub at: DateTime<Utc>,
}

/// The row of an event of this run.
pub fn row_for(run: &Run, seq: u32, event: &RunEvent, writer: Writer<'_>) -> Result<JournalRow, serde_json::Error> {
    let doer = doer_of(run, event);
    Ok(JournalRow {
        seq,
        at: writer.at,
        kind: event.kind().to_owned(),
        step: event.step().cloned(),
        agent: doer.map(|doer| doer.agent.clone()),
        tool: doer.map(|doer| doer.tool.clone()),
        status: match event {
            RunEvent::AttemptDone { result, .. } => Some(status_word(result.output.status).to_owned()),
            _ => None,
        },
        body: Body::of(event)?,
        entry: entry_for(run, event, writer),
    })
}

/// The audit entry, if the event is an operation: somebody asked for something, or an agent did something. What the
/// engine merely decides (to skip, to wait) is in the journal alone.
pub fn entry_for(run: &Run, event: &RunEvent, writer: Writer<'_>) -> Option<Entry> {
    let of_run = |actor: &str, op: &str, outcome: &str| Entry {
        at: writer.at,
        node: writer.node.clone(),
        epoch: writer.epoch,
        actor: actor.to_owned(),
        op: op.to_owned(),
        subject: format!("run/{}", run.id()),
        outcome: outcome.to_owned(),
        payload: None,
        detail: None,
    };
    let of_attempt = |outcome: &str, attempt: u32| {
        let doer = doer_of(run, event)?;
        Some(Entry {
            subject: format!("run/{}/step/{}", run.id(), event.step()?),
            detail: Some(format!("{}, attempt {attempt}", doer.tool)),
            ..of_run(doer.agent.as_str(), "step.done", outcome)
        })
    };
    match event {
        RunEvent::Accepted { plan, by, parent } => Some(Entry {
            payload: Some(sha256(&canonical(plan))),
            detail: Some(match parent {
                Some(Parent { run, step }) => format!("{}, for run/{run}/step/{step}", size(plan)),
                None => size(plan),
            }),
            ..of_run(by, "run.accepted", "ok")
        }),
        RunEvent::AttemptDone { attempt, result, .. } => {
            let entry = of_attempt(status_word(result.output.status), *attempt)?;
            Some(Entry { payload: Some(sha256(&canonical(&result.output))), ..entry })
        }
        RunEvent::AttemptLost { attempt, .. } => of_attempt("unknown", *attempt),
        RunEvent::ChangeBegun { attempt, .. } => {
            let plan = run.step(event.step()?)?.change().map(|planned| &planned.plan)?;
            let entry = of_attempt("ok", *attempt)?;
            Some(Entry { op: "step.change".to_owned(), payload: Some(sha256(&canonical(plan))), ..entry })
        }
        RunEvent::UndoDone { attempt, result, .. } => {
            let entry = of_attempt(status_word(result.output.status), *attempt)?;
            Some(Entry { op: "step.undone".to_owned(), payload: Some(sha256(&canonical(&result.output))), ..entry })
        }
        RunEvent::Decided { step, approved, by, digest, comment } => Some(Entry {
            subject: format!("run/{}/step/{step}", run.id()),
            payload: digest.or_else(|| run.step(step)?.asked()?.digest),
            detail: comment.clone(),
            ..of_run(by, if *approved { "step.approved" } else { "step.refused" }, "ok")
        }),
        RunEvent::Signalled { name, payload, by } => Some(Entry {
            payload: Some(sha256(&canonical(payload.as_ref()))),
            detail: Some(name.to_string()),
            ..of_run(by, "run.signalled", "ok")
        }),
        RunEvent::RollbackBegun { by } => Some(of_run(by.as_deref().unwrap_or("service"), "run.rollback", "ok")),
        RunEvent::Retried { by, steps } => {
            Some(Entry { detail: Some(format!("{} steps", steps.len())), ..of_run(by, "run.retried", "ok") })
        }
        RunEvent::Cancelled { by, .. } => Some(of_run(by, "run.cancelled", "ok")),
        RunEvent::Paused { by } => Some(of_run(by, "run.paused", "ok")),
        RunEvent::Resumed { by } => Some(of_run(by, "run.resumed", "ok")),
        RunEvent::Finished { status, .. } => Some(of_run("service", "run.finished", status.as_str())),
        RunEvent::StepChosen { .. }
        | RunEvent::StepStarted { .. }
        | RunEvent::ChildEnded { .. }
        | RunEvent::StepDeferred { .. }
        | RunEvent::StepSkipped { .. }
        | RunEvent::StepEnded { .. }
        | RunEvent::StepHeld { .. }
        | RunEvent::StepGiven { .. }
        | RunEvent::StepSpread { .. }
        | RunEvent::StepCarried { .. }
        | RunEvent::ChangePlanned { .. }
        | RunEvent::OutcomeSought { .. }
        | RunEvent::OutcomeDeferred { .. }
        | RunEvent::UndoBegun { .. }
        | RunEvent::Failing { .. }
        | RunEvent::TimedOut => None,
    }
}

fn doer_of<'r>(run: &'r Run, event: &RunEvent) -> Option<&'r Doer> {
    let place = run.place(event.step()?)?;
    match event {
        RunEvent::UndoBegun { .. } | RunEvent::UndoDone { .. } => run.undoer(place),
        _ => run.doer(place),
    }
}

fn size(plan: &Plan) -> String {
    format!("{} steps, {}", plan.steps().len(), plan.mode().as_str())
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}
