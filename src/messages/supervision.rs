//! What can be asked of a supervisor, and the news it gives.
use std::fmt;
use std::time::Duration;

use actix::Message;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// Asks for the tree below a supervisor.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Node")]
pub struct Describe;

/// What a person does to a child.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Intervened")]
pub struct Intervene {
    /// The child's name.
    pub name: String,
    pub how: Intervention,
    /// `token:<id>` and the like.
    pub who: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervention {
    /// Ends the child in good order and starts it anew, whatever its state; its record is clean afterwards.
    Restart,
    /// An exercise.
    Inject(Fault),
}

/// A fault on purpose. What is left of it ends with the life of the child that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It panics.
    Panic,
    /// It holds its thread once for so long.
    Stall { time: Duration },
    /// Its next replies come so much later.
    Slow { by: Duration, calls: u32 },
    /// Its next requests fail.
    Fail { calls: u32 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Panic => f.write_str("panic"),
            Fault::Stall { time } => write!(f, "stall of {time:?}"),
            Fault::Slow { by, calls } => write!(f, "slow by {by:?}, {calls} calls"),
            Fault::Fail { calls } => write!(f, "fail, {calls} calls"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervened {
    Done,
    /// Nobody could suffer the fault: it is between two lives, or a guest that others poll.
    NotAlive,
    /// No supervisor has a child of that name.
    Unknown,
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
    /// The thread it lives on.
    pub arbiter: Option<String>,
    /// The share of the last six seconds in which it kept that thread busy.
    pub busy: Option<f64>,
    /// Threads its arbiter gave up, and which have not come back.
    pub lost_threads: usize,
    /// Of a guest: whose it is.
    pub label: Option<String>,
    pub children: Vec<Node>,
    /// Children that are not listed, since there are so many.
    pub more: usize,
}

impl Node {
    /// One of which no more is known than this, in its first life.
    pub fn new(name: impl Into<String>, kind: NodeKind, state: ChildState) -> Self {
        Node {
            name: name.into(),
            kind,
            strategy: None,
            state,
            epoch: 1,
            restarts_in_window: 0,
            restarts: 0,
            breaker: None,
            queue: 0,
            last_exit: None,
            arbiter: None,
            busy: None,
            lost_threads: 0,
            label: None,
            children: Vec::new(),
            more: 0,
        }
    }
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
