//! How a tool changes the host: in calls of their own, so that what undoes it is durable before anything is changed.
//!
//! ```text
//! plan -> (engine stores the plan) -> apply -> (engine stores the result) -> undo, if it comes to that
//!                                       `- crash: settle says whether it was carried out
//! ```
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::{Evidence, Output, Reason, Status};

/// A tool that changes the host. Its `Tool::call` is never asked; it answers `needs_a_plan`.
pub trait Change: Send + Sync {
    /// Reads the host and says what would be done and what would undo it. Changes nothing but its own backups, which
    /// are durable before it answers.
    fn plan(&self, cx: &ToolCx, input: &Value) -> Result<Planned, Box<Output>>;
    /// Does it, unless the host no longer is as the plan found it.
    fn apply(&self, cx: &ToolCx, plan: &Value) -> Output;
    /// Puts back what was there before and verifies it by reading again; to do it twice is no fault. Refuses (`failed`,
    /// code `changed_since`) if somebody else has changed it meanwhile.
    fn undo(&self, cx: &ToolCx, plan: &Value) -> Output;
    /// After a crash: reads the host and says whether the plan was carried out; `data` of an `ok` is `Settled`.
    fn settle(&self, cx: &ToolCx, plan: &Value) -> Output;
}

/// Which call of the tool is asked for. A tool that changes the host is planned, applied and perhaps undone or settled;
/// every other tool is run. Besides its input, a call takes the plan that the tool made.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A tool that changes nothing.
    Run,
    /// The output's data is `Planned`.
    Plan,
    Apply(Arc<Value>),
    Undo(Arc<Value>),
    /// The output's data is `Settled`.
    Settle(Arc<Value>),
}

/// The reason code of a refusal: the host is not as it was found.
pub const CHANGED_SINCE: &str = "changed_since";

/// What would be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The tool's own; `apply`, `undo` and `settle` are given it back as it is.
    pub plan: Value,
    /// One line for who approves it.
    pub summary: String,
    /// What was read for it. In an output it stands where all evidence does.
    #[serde(skip)]
    pub evidence: Vec<Evidence>,
}

impl Planned {
    /// The plan as the result of a call.
    pub fn into_output(self) -> Output {
        let data = serde_json::json!({ "plan": self.plan, "summary": self.summary });
        Output::ok(data, self.evidence)
    }

    /// The other way round; the error says what is wrong with the output of a `plan`.
    pub fn from_output(output: &Output) -> Result<Self, String> {
        if output.status != Status::Ok {
            return Err(format!("a plan is `ok`, this is {:?}", output.status));
        }
        let planned = Planned::deserialize(&output.data).map_err(|error| format!("not a plan: {error}"))?;
        Ok(Planned { evidence: output.evidence.clone(), ..planned })
    }
}

/// What became of a plan whose `apply` nobody heard the end of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Settled {
    /// It was carried out; `data` is what `apply` would have answered.
    Applied { data: Value },
    /// The host is as the plan found it.
    NotApplied,
    /// The host is neither as before nor as after: a person must look.
    Neither { detail: String },
}

impl Settled {
    /// The verdict as the result of a call.
    pub fn into_output(self, evidence: Vec<Evidence>) -> Output {
        match serde_json::to_value(self) {
            Ok(data) => Output::ok(data, evidence),
            Err(error) => {
                let detail = format!("the result could not be written as JSON: {error}");
                Output::without_data(Status::Failed, Reason::new("io", "result", detail))
            }
        }
    }

    /// The other way round; the error says what is wrong with the output of a `settle`.
    pub fn from_output(output: &Output) -> Result<Self, String> {
        if output.status != Status::Ok {
            return Err(format!("a verdict is `ok`, this is {:?}", output.status));
        }
        Settled::deserialize(&output.data).map_err(|error| format!("not a verdict: {error}"))
    }
}

/// What `Tool::call` of a tool that changes the host answers.
pub fn needs_a_plan(tool: &str) -> Output {
    let detail = format!("{tool} changes the host: it is planned first, so that it can be undone, and then applied");
    Output::without_data(Status::Failed, Reason::new("needs_a_plan", tool, detail))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_and_a_verdict_survive_the_way_through_an_output() {
        let evidence = vec![Evidence {
            source: "/f".to_owned(),
            sha256: crate::ids::Digest([1; 32]),
            bytes: 3,
            exit_code: None,
            started: chrono::DateTime::UNIX_EPOCH,
            duration_ms: 1.0,
            truncated: false,
        }];
        let planned = Planned { plan: json!({"a": [1]}), summary: "writes /f".to_owned(), evidence: evidence.clone() };
        let output = planned.clone().into_output();
        assert_eq!(output.data, json!({"plan": {"a": [1]}, "summary": "writes /f"}));
        assert_eq!(Planned::from_output(&output), Ok(planned));
        for settled in [
            Settled::Applied { data: json!({"x": 1}) },
            Settled::NotApplied,
            Settled::Neither { detail: "both".to_owned() },
        ] {
            let output = settled.clone().into_output(evidence.clone());
            assert!(Planned::from_output(&output).is_err());
            assert_eq!(Settled::from_output(&output), Ok(settled));
        }
        let refused = needs_a_plan("fs.write");
        assert!(Planned::from_output(&refused).is_err() && Settled::from_output(&refused).is_err());
    }
}
