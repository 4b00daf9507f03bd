//! The supervision tree.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Child")]
pub struct Node {
    pub name: String,
    /// `supervisor` or `worker`.
    pub kind: String,
    /// Of a supervisor.
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
    /// The share, from 0 to 1, of the last ten seconds in which it kept that thread busy (sampled ten times a second).
    pub busy: Option<f64>,
    /// Threads that its arbiter gave up because a call held them, and which have not come back.
    #[serde(default)]
    pub lost_threads: usize,
    #[serde(default)]
    pub children: Vec<Node>,
}

/// The child that was told to panic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DrilledChild")]
pub struct Drilled {
    pub child: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Breaker {
    /// `closed`, `open` or `half_open`.
    pub state: String,
    pub retry_after_s: Option<f64>,
}
