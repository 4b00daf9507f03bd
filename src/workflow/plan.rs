//! The checked graph of a workflow. A `Plan` cannot be wrong: it comes from `check`, or from the journal, where it was
//! pinned when the run was accepted, and is then put through the same rules again.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::ids::{AgentId, StepId};
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
    pub steps: Vec<Step>,
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
        Ok(Plan(Arc::new(Checked { outline, graph })))
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

    /// In the order of the document.
    pub fn steps(&self) -> &[Step] {
        &self.0.outline.steps
    }

    /// Those that the document names, each once.
    pub fn agents(&self) -> Vec<AgentId> {
        let named = self.steps().iter().filter_map(|step| step.doer.as_ref()).map(|doer| doer.agent.clone());
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
