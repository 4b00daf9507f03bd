//! What can be asked of the orchestrator, which owns every run that has not ended.
use std::sync::Arc;

use actix::Message;
use serde_json::Value;
use tokio::sync::watch;

use crate::ids::{Digest, RunId, SignalName, StepId};
use crate::workflow::child::Parent;
use crate::workflow::fork::Carried;
use crate::workflow::plan::Plan;
use crate::workflow::run::Run;
use crate::workflow::submission::Submission;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error("it could not be made durable: {detail}")]
    NotDurable { detail: String },
    #[error("{open} runs are open already; the limit is {limit}")]
    TooMany { open: usize, limit: usize },
    /// Ask again: then it is known which run the key has started, or that it has started none.
    #[error("a submission with the same idempotency key is being stored")]
    KeyInFlight,
    /// Nothing was started. `same`: with the same body.
    #[error("its idempotency key has started run {run}")]
    KeyTaken { run: RunId, same: bool },
}

/// Accepts a run; answers once it is durable.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<RunId, StartError>")]
pub struct StartRun {
    pub plan: Plan,
    /// Who asked: `token:<id>`.
    pub by: String,
    /// Steps of it that another run has done.
    pub carried: Vec<Carried>,
    /// With it, of all requests of the same key and principal one alone starts a run.
    pub submission: Option<Submission>,
    /// It is the child of another run, and has its id from there. One that is open already is not started again; whether
    /// one has ended is for the parent to know.
    pub child: Option<ChildOf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildOf {
    pub id: RunId,
    pub parent: Parent,
}

/// A run that has not ended, or ended a moment ago; none: ask the store.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<Run>")]
pub struct GetRun(pub RunId);

/// Follows a run; the channel closes when the run is no longer open. None: it is not open.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<watch::Receiver<Progress>>")]
pub struct WatchRun(pub RunId);

/// How far an open run has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// How often it has changed.
    pub changes: u64,
    /// The run as it ended, durable.
    pub ended: Option<Arc<Run>>,
}

/// Has a run do something else than it was about to. False: it cannot, as it stands; look at it for the reason. Answers
/// once the change is durable.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, StartError>")]
pub struct SteerRun {
    pub run: RunId,
    pub wish: Wish,
    /// Who asks: `token:<id>`.
    pub by: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// End it before its time: running steps are stopped, the rest is not begun; `undo`: what it changed is undone then,
    /// whatever its document says.
    Cancel {
        undo: bool,
    },
    /// Begin nothing more until it is resumed; steps that run go on.
    Pause,
    Resume,
    /// Give this to a step that waits for it.
    Signal {
        name: SignalName,
        payload: Arc<Value>,
    },
    /// Let a step that waits for a decision go on, or not; with a digest only if that is what is to be approved.
    Decide {
        step: StepId,
        approved: bool,
        digest: Option<Digest>,
        comment: Option<String>,
    },
    /// Undo all that it changed; it is ended first unless it has ended.
    Undo,
    /// Do again what did not succeed, in a run that has ended.
    Retry,
}

impl Wish {
    /// Is asked before other things that wait: it makes the run do less.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Wish::Cancel { .. } | Wish::Pause)
    }

    /// Can be wished of a run that has ended.
    pub fn reopens(&self) -> bool {
        matches!(self, Wish::Undo | Wish::Retry)
    }
}

/// Who pauses runs when the host is in need. What a person paused stays paused.
pub const RECOVERY: &str = "recovery";

/// Numbers for readiness and for the supervision view.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "EngineStatus")]
pub struct GetEngineStatus;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    pub open_runs: usize,
    pub running_steps: usize,
    /// Runs whose changes could not be undone.
    pub in_need: usize,
    /// False until the journal of the last start has been read.
    pub recovered: bool,
}
