//! Who should do a task, and how far the learner is.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::AgentId;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// In bytes of UTF-8 the same bounds hold.
    #[schemars(length(min = 1, max = 4000))]
    pub task: String,
    /// Hints, whose values are read with the task.
    #[serde(default)]
    pub context: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// Null when no agent is confident; the figures are then those of who came nearest.
    pub agent_id: Option<AgentId>,
    /// Expected chance of success, 0 to 1.
    pub confidence: f64,
    /// The chance is above this with 95 %.
    pub lower: f64,
    /// How many past runs near the task weigh in.
    pub n_eff: f64,
    /// Another agent has the higher confidence; this one is tried to learn more of it.
    pub explored: bool,
    pub reasons: Vec<String>,
    /// All agents, first who would be chosen first.
    pub ranking: Vec<Ranked>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ranked {
    pub agent_id: AgentId,
    pub confidence: f64,
    pub lower: f64,
    pub n_eff: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LearnerStatus {
    /// Lessons on disk that the database does not have yet, and their bytes.
    pub waiting: u64,
    pub bytes: u64,
    /// Since the learner was last started.
    pub landed: u64,
    /// Lessons given up because their place on disk was full.
    pub dropped: u64,
    /// Lessons in memory that the learner has not taken in yet, and those given up because too many waited for that.
    pub offered: u64,
    pub offers_dropped: u64,
}
