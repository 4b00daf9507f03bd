//! One step of a plan, with everything decided at submission pinned into it.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::role::Role;
use crate::ids::AgentId;
use crate::ids::SignalName;
use crate::ids::StepId;
use crate::ids::ToolId;
use crate::toolkit::output::Output;
use crate::toolkit::output::Status;
use crate::toolkit::spec::ToolKind;
use crate::toolkit::spec::ToolSpec;
use crate::workflow::expr::Expr;
use crate::workflow::plan::OnFailure;
use crate::workflow::plan::Plan;
use crate::workflow::template::Template;
use crate::workflow::time_form::millis;
use crate::workflow::time_form::optional_millis;

/// A checked step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub id: StepId,
    #[serde(flatten)]
    pub work: Work,
    /// None: an empty object, or in a pipeline the data of the step before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Template>,
    /// Of a dag; the other modes imply theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<StepId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expr>,
    /// For all attempts and the waits between them.
    #[serde(rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
    #[serde(rename = "attempt_timeout_ms", with = "optional_millis")]
    pub attempt_timeout: Option<Duration>,
    pub retry: Retry,
    /// Who has to agree before anything is done, or how a `Work::Gate` ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approval>,
    /// It is done once for each of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// What its failure means for what the run changed; none: as the run says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    /// A list, once it is rendered.
    pub items: Template,
    /// How many at a time; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<usize>,
}

/// What a step is there for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Work {
    Tool(Doer),
    /// The learner chooses who does it, when the step is to begin.
    Task {
        task: Task,
    },
    /// To run a playbook as a run of its own, which is pinned here.
    Playbook {
        playbook: String,
        plan: Plan,
    },
    /// To let this time pass.
    Sleep {
        #[serde(rename = "sleep_ms", with = "millis")]
        time: Duration,
    },
    /// To wait until somebody sends this signal.
    Signal {
        #[serde(rename = "wait_for")]
        name: SignalName,
    },
    /// To wait for the decision of a person. The last, since it has no key of its own.
    Gate {},
}

/// A decision that a person takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who has this role, or a higher one.
    pub role: Role,
    #[serde(rename = "expires_ms", with = "millis")]
    pub expires: Duration,
    /// Why it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Step {
    /// Who does it, where the document says so.
    pub fn doer(&self) -> Option<&Doer> {
        match &self.work {
            Work::Tool(doer) => Some(doer),
            Work::Task { .. } | Work::Playbook { .. } | Work::Sleep { .. } | Work::Signal { .. } | Work::Gate {} => {
                None
            }
        }
    }

    pub fn task(&self) -> Option<&Task> {
        match &self.work {
            Work::Task { task } => Some(task),
            Work::Tool(_) | Work::Playbook { .. } | Work::Sleep { .. } | Work::Signal { .. } | Work::Gate {} => None,
        }
    }

    /// The playbook that it runs, by name and as it is pinned.
    pub fn playbook(&self) -> Option<(&str, &Plan)> {
        match &self.work {
            Work::Playbook { playbook, plan } => Some((playbook, plan)),
            Work::Tool(_) | Work::Task { .. } | Work::Sleep { .. } | Work::Signal { .. } | Work::Gate {} => None,
        }
    }
}

/// Who does a step, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doer {
    pub agent: AgentId,
    pub tool: ToolId,
    pub facts: ToolFacts,
}

/// What is to be done, in words, where the document names no agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub text: String,
    /// Only agents that are granted this one; none: the chosen agent's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolId>,
}

/// The learner's choice for a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    #[serde(flatten)]
    pub doer: Doer,
    /// Expected chance of success.
    pub confidence: f64,
    pub reasons: Vec<String>,
}

/// What the engine must know about a tool; pinned, so that a later release does not change a run under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolFacts {
    /// May a call whose outcome is unknown be made again?
    pub repeatable: bool,
    /// False for pure functions, which read nothing from the host.
    pub needs_evidence: bool,
    /// Whether an execution teaches the learner something.
    pub learn: bool,
    /// It changes the host: planned first, and undone by its plan.
    #[serde(default)]
    pub changes: bool,
}

impl From<&ToolSpec> for ToolFacts {
    fn from(spec: &ToolSpec) -> Self {
        ToolFacts {
            repeatable: spec.repeatable,
            needs_evidence: spec.needs_evidence,
            learn: spec.learn,
            changes: spec.kind == ToolKind::Mutating,
        }
    }
}

/// When a failed attempt is made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    pub max_attempts: u32,
    #[serde(rename = "initial_ms", with = "millis")]
    pub initial: Duration,
    pub factor: f64,
    #[serde(rename = "max_ms", with = "millis")]
    pub max: Duration,
    pub jitter: Jitter,
    /// Statuses or reason codes that are final.
    pub not_on: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Anything between nothing and the whole delay, so that many steps do not come back at once.
    Full,
    None,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            max_attempts: 1,
            initial: Duration::from_millis(200),
            factor: 2.0,
            max: Duration::from_secs(30),
            jitter: Jitter::Full,
            not_on: Vec::new(),
        }
    }
}

impl Retry {
    /// Is an attempt that ended like this worth another one, as far as its result goes?
    pub fn covers(&self, output: &Output) -> bool {
        let word = match output.status {
            Status::Failed => "failed",
            Status::TimedOut => "timed_out",
            Status::Ok | Status::Degraded | Status::Unavailable | Status::Denied | Status::Aborted => return false,
        };
        let code = output.reason.as_ref().map_or("", |reason| reason.code.as_str());
        code != "invalid_input" && !self.not_on.iter().any(|no| no == word || no == code)
    }
}
