//! The supervision tree.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Child")]
pub struct Node {
    pub name: String,
    /// `supervisor`, `worker`, or `guest`: one that lives elsewhere, and is only counted and told to go.
    pub kind: String,
    /// Of a supervisor; `dynamic`: its children come and go at run time.
    pub strategy: Option<String>,
    /// `starting`, `up`, `restarting`, `open`, `half_open` or `down`.
    pub state: String,
    pub epoch: u64,
    pub restarts_in_window: usize,
    pub restarts: u64,
    pub breaker: Option<Breaker>,
    pub queue: usize,
    pub last_exit: Option<String>,
    /// The thread it lives on; several children may share one.
    pub arbiter: Option<String>,
    /// The share, from 0 to 1, of the last six seconds in which it kept that thread busy (sampled ten times a second).
    pub busy: Option<f64>,
    /// Threads that its arbiter gave up because a call held them, and which have not come back.
    #[serde(default)]
    pub lost_threads: usize,
    /// Of a session: the name of its token.
    pub label: Option<String>,
    #[serde(default)]
    pub children: Vec<Node>,
    /// Children that are not listed: of those that come and go the oldest 500 are.
    #[serde(default)]
    pub more: usize,
}

/// A fault on purpose, where the configuration allows drills. What is left of it ends with the life of the child.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    #[serde(default)]
    pub fault: FaultKind,
    /// For `stall` and `slow`: for how many milliseconds, from 1 to 60000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// For `slow` and `fail`: how many of the next requests it befalls, from 1 to 1000; 1 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "DrillFault")]
pub enum FaultKind {
    /// It panics.
    #[default]
    Panic,
    /// It holds its thread once.
    Stall,
    /// Its next replies come later.
    Slow,
    /// Its next requests fail.
    Fail,
}

/// The child that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DrilledChild")]
pub struct Drilled {
    pub child: String,
    pub fault: FaultKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Breaker {
    /// `closed`, `open` or `half_open`.
    pub state: String,
    pub retry_after_s: Option<f64>,
}
