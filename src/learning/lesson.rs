//! What an ended step or run teaches: the plain records that go to the database, by way of a file.
//!
//! A lesson is named by run, step and attempt, so that handing it over twice stores it once.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{AgentId, RunId, StepId, ToolId};
use crate::toolkit::output::{Output, Status};
use crate::workflow::event::RunEvent;
use crate::workflow::result::Usage;
use crate::workflow::run::Run;
use crate::workflow::step_run::Attempt;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Lesson {
    Step(StepLesson),
    Run(RunLesson),
}

/// One attempt of a step that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLesson {
    pub run: RunId,
    pub step: StepId,
    pub attempt: u32,
    pub at: DateTime<Utc>,
    pub agent: AgentId,
    pub tool: ToolId,
    /// What was asked for in free text, if it was.
    #[serde(default)]
    pub task: Option<String>,
    /// Name of the workflow.
    pub workflow: String,
    pub duration_ms: f64,
    pub outcome: Status,
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Of the audit entry about the attempt.
    #[serde(default)]
    pub audit_index: Option<u64>,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunLesson {
    pub run: RunId,
    pub at: DateTime<Utc>,
    pub workflow: String,
    /// In the order of their ids.
    pub agents: Vec<AgentId>,
    /// Mode, status, and the steps with who did them.
    pub execution_graph: Value,
    pub timing_metrics: Value,
    #[serde(default)]
    pub audit_index: Option<u64>,
}

impl StepLesson {
    /// Did the agent do what it was asked? None: the outcome tells about the host, not about the agent.
    pub fn success(&self) -> Option<bool> {
        match self.outcome {
            Status::Ok | Status::Degraded => Some(true),
            Status::Failed | Status::TimedOut => Some(false),
            Status::Unavailable | Status::Denied | Status::Aborted => None,
        }
    }
}

/// What a journalled event of this run teaches, once it is durable. `audit_index` is that of the event's entry.
pub fn lesson_of(run: &Run, at: DateTime<Utc>, event: &RunEvent, audit_index: Option<u64>) -> Option<Lesson> {
    match event {
        RunEvent::AttemptDone { step, attempt, result, .. } => {
            let place = run.place(step)?;
            let doer = run.doer(place).filter(|doer| doer.facts.learn)?;
            if !tells_of_agent(&result.output) {
                return None;
            }
            Some(Lesson::Step(StepLesson {
                run: run.id(),
                step: step.clone(),
                attempt: *attempt,
                at,
                agent: doer.agent.clone(),
                tool: doer.tool.clone(),
                task: run.spec(place).task().map(|task| task.text.clone()),
                workflow: run.plan().name().to_owned(),
                duration_ms: result.duration_ms,
                outcome: result.output.status,
                usage: result.usage,
                audit_index,
            }))
        }
        RunEvent::Finished { status, success_rate, coverage, execution_time_ms } => {
            let timing = json!({
                "execution_time_ms": execution_time_ms,
                "success_rate": success_rate,
                "coverage": coverage,
                "steps": step_times(run),
            });
            let graph = json!({"mode": run.plan().mode().as_str(), "status": status.as_str(), "steps": steps_of(run)});
            Some(Lesson::Run(RunLesson {
                run: run.id(),
                at,
                workflow: run.plan().name().to_owned(),
                agents: agents_of(run),
                execution_graph: graph,
                timing_metrics: timing,
                audit_index,
            }))
        }
        _ => None,
    }
}

/// Does this result tell how well an agent does its work? An `unavailable` one does not either, but is kept: it tells
/// what the host has.
fn tells_of_agent(output: &Output) -> bool {
    let code = output.reason.as_ref().map_or("", |reason| reason.code.as_str());
    match output.status {
        Status::Ok | Status::Degraded | Status::Unavailable => true,
        // Who asked for something that cannot be, or for more than the limit, made the mistake.
        Status::Failed | Status::TimedOut => !matches!(code, "invalid_input" | "too_large" | "approval_expired"),
        // The grant is refused before the tool begins: it tells who may do what, not how well it is done.
        Status::Denied => false,
        // Stopped from outside: it says nothing about anybody.
        Status::Aborted => false,
    }
}

fn agents_of(run: &Run) -> Vec<AgentId> {
    let all = (0..run.steps().count()).filter_map(|place| Some(run.doer(place)?.agent.clone()));
    all.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn steps_of(run: &Run) -> Vec<Value> {
    let mut steps = Vec::new();
    for (place, (step, state)) in run.steps().enumerate() {
        let doer = run.doer(place);
        steps.push(json!({
            "id": step.id,
            "agent": doer.map(|doer| &doer.agent),
            "tool": doer.map(|doer| &doer.tool),
            "needs": step.needs,
            "status": state.status().as_str(),
            "attempts": state.attempts().len(),
        }));
    }
    steps
}

/// Milliseconds of each step's attempts together.
fn step_times(run: &Run) -> BTreeMap<&StepId, f64> {
    let begun = run.steps().filter(|(_, state)| !state.attempts().is_empty());
    begun.map(|(step, state)| (&step.id, state.attempts().iter().filter_map(Attempt::duration_ms).sum())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolkit::output::Reason;

    #[test]
    fn mistakes_of_the_caller_teach_nothing_about_the_agent() {
        let table = [
            (Status::Ok, "", true),
            (Status::Degraded, "no_facility", true),
            (Status::Unavailable, "no_facility", true),
            (Status::Failed, "io", true),
            (Status::Failed, "no_evidence", true),
            (Status::TimedOut, "timeout", true),
            (Status::Failed, "invalid_input", false),
            (Status::Failed, "too_large", false),
            (Status::Denied, "not_granted", false),
            (Status::Aborted, "cancelled", false),
        ];
        for (status, code, tells) in table {
            let output = Output::without_data(status, Reason::new(code, "x", "y"));
            assert_eq!(tells_of_agent(&output), tells, "{status:?} {code}");
        }
    }
}
