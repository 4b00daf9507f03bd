//! What can be asked of a supervisor, and the news it gives.
use std::time::Duration;

use actix::Message;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// Asks for the tree below a supervisor.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Node")]
pub struct Describe;

/// Ends a child and starts it anew, whatever its state: an operator's restart.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct RestartChild {
    /// The child's name; false if no supervisor below has it.
    pub name: String,
    pub by: Ending,
}

/// How an operator ends a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In good order, and its record is clean afterwards.
    Order,
    /// By a panic within the child, which its supervisor sees as any other: an exercise.
    Panic,
}

/// One supervisor or child, with what is below it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    pub name: String,
    pub kind: NodeKind,
    /// Of a supervisor.
    pub strategy: Option<&'static str>,
    pub state: ChildState,
    /// Counts the starts of this child.
    pub epoch: u64,
    pub restarts_in_window: usize,
    pub restarts: u64,
    pub breaker: Option<BreakerView>,
    /// Requests admitted and not answered.
    pub queue: usize,
    pub last_exit: Option<String>,
    pub arbiter: Option<String>,
    /// Of a guest: whose it is.
    pub label: Option<String>,
    pub children: Vec<Node>,
    /// Children that are not listed, since there are so many.
    pub more: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    Supervisor,
    Worker,
    /// It lives elsewhere and is only counted, and told to go.
    Guest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildState {
    Starting,
    Up,
    Restarting,
    /// The breaker is open: the address is withdrawn.
    Open,
    HalfOpen,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BreakerView {
    /// `closed`, `open` or `half_open`.
    pub state: &'static str,
    pub retry_after_s: Option<f64>,
}

/// News of a supervisor; `path` names the child from the root, joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisionEvent {
    pub at: DateTime<Utc>,
    pub path: String,
    pub epoch: u64,
    /// Of a child that came at run time and goes again.
    pub passing: bool,
    pub what: Transition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    Started,
    Exited {
        reason: String,
    },
    RestartIn {
        delay: Duration,
    },
    BreakerOpened {
        retry_after: Duration,
    },
    BreakerHalfOpen,
    BreakerClosed,
    GaveUp {
        reason: String,
    },
    Stopped,
    /// The child did not stop in time and was left behind.
    Abandoned,
}
