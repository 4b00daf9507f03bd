//! The checked graph of a workflow. A `Plan` cannot be wrong: it comes from `check`, or from the journal, where it was
//! pinned when the run was accepted, and is then put through the same rules again.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::ids::{AgentId, RunId, StepId};
use crate::workflow::child;
use crate::workflow::fork;
use crate::workflow::graph::Graph;
use crate::workflow::graph::GraphError;
use crate::workflow::step::Step;
use crate::workflow::time_form::millis;

/// What a run is to do; cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan(Arc<Checked>);

#[derive(Debug, PartialEq)]
struct Checked {
    outline: Outline,
    graph: Graph,
    may_roll_back: bool,
}

/// A plan as it is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    pub name: String,
    pub mode: Mode,
    pub priority: Priority,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// An object.
    pub inputs: Value,
    #[serde(rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
    pub max_value_bytes: usize,
    #[serde(default)]
    pub on_failure: OnFailure,
    pub steps: Vec<Step>,
}

/// What becomes of what a run changed when it does not succeed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    #[default]
    Keep,
    /// It is undone, the last first.
    Rollback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All steps at once.
    Parallel,
    /// One after the other; a failure ends the run.
    Sequential,
    /// As sequential, and each step is handed the data of the one before.
    Pipeline,
    /// Each step after those it needs.
    Dag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Background,
    Normal,
    Critical,
}

impl Mode {
    pub const ALL: [Mode; 4] = [Mode::Parallel, Mode::Sequential, Mode::Pipeline, Mode::Dag];

    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Parallel => "parallel",
            Mode::Sequential => "sequential",
            Mode::Pipeline => "pipeline",
            Mode::Dag => "dag",
        }
    }
}

impl Priority {
    pub const ALL: [Priority; 3] = [Priority::Critical, Priority::Normal, Priority::Background];

    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Background => "background",
            Priority::Normal => "normal",
            Priority::Critical => "critical",
        }
    }
}

impl Plan {
    pub fn new(outline: Outline) -> Result<Self, GraphError> {
        let graph = Graph::new(outline.mode, &outline.steps)?;
        let of_steps = outline.steps.iter().filter_map(|step| step.on_failure);
        let may_roll_back = of_steps.chain([outline.on_failure]).any(|word| word == OnFailure::Rollback);
        Ok(Plan(Arc::new(Checked { outline, graph, may_roll_back })))
    }

    /// The same for another run: with other inputs, and labelled with where it comes from.
    pub fn forked(&self, from: RunId, inputs: Value) -> Self {
        let Checked { outline, graph, may_roll_back } = &*self.0;
        let mut labels = outline.labels.clone();
        labels.insert(fork::LABEL.to_owned(), from.to_string());
        let outline = Outline { inputs, labels, ..outline.clone() };
        Plan(Arc::new(Checked { outline, graph: graph.clone(), may_roll_back: *may_roll_back }))
    }

    /// The same as the child of another run, with what that run says about it.
    pub fn for_child(&self, of: RunId, priority: Priority, inputs: Value, timeout: Duration) -> Self {
        let Checked { outline, graph, may_roll_back } = &*self.0;
        let mut labels = outline.labels.clone();
        labels.insert(child::LABEL.to_owned(), of.to_string());
        let outline = Outline { inputs, labels, priority, timeout, ..outline.clone() };
        Plan(Arc::new(Checked { outline, graph: graph.clone(), may_roll_back: *may_roll_back }))
    }

    /// The same with one more label, which takes the place of one of its name.
    pub fn labelled(&self, label: &str, value: &str) -> Self {
        let Checked { outline, graph, may_roll_back } = &*self.0;
        let mut outline = outline.clone();
        outline.labels.insert(label.to_owned(), value.to_owned());
        Plan(Arc::new(Checked { outline, graph: graph.clone(), may_roll_back: *may_roll_back }))
    }

    pub fn name(&self) -> &str {
        &self.0.outline.name
    }

    pub fn mode(&self) -> Mode {
        self.0.outline.mode
    }

    pub fn priority(&self) -> Priority {
        self.0.outline.priority
    }

    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.0.outline.labels
    }

    pub fn inputs(&self) -> &Value {
        &self.0.outline.inputs
    }

    pub fn timeout(&self) -> Duration {
        self.0.outline.timeout
    }

    pub fn max_value_bytes(&self) -> usize {
        self.0.outline.max_value_bytes
    }

    pub fn on_failure(&self) -> OnFailure {
        self.0.outline.on_failure
    }

    /// The failure of some step has what was changed undone.
    pub fn may_roll_back(&self) -> bool {
        self.0.may_roll_back
    }

    /// The failure of this step has.
    pub fn rolls_back(&self, step: &Step) -> bool {
        step.on_failure.unwrap_or(self.on_failure()) == OnFailure::Rollback
    }

    /// In the order of the document.
    pub fn steps(&self) -> &[Step] {
        &self.0.outline.steps
    }

    /// Those that the document names, each once.
    pub fn agents(&self) -> Vec<AgentId> {
        let named = self.steps().iter().filter_map(Step::doer).map(|doer| doer.agent.clone());
        named.collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps().get(self.place(id)?)
    }

    /// Where a step stands in the document.
    pub fn place(&self, id: &StepId) -> Option<usize> {
        self.0.graph.index.get(id).copied()
    }

    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.outline.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Plan::new(Outline::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
