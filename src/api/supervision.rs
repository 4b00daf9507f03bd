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
    pub arbiter: Option<String>,
    /// Of a session: the name of its token.
    pub label: Option<String>,
    #[serde(default)]
    pub children: Vec<Node>,
    /// Children that are not listed: of those that come and go the oldest 500 are.
    #[serde(default)]
    pub more: usize,
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
