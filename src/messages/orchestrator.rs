//! What can be asked of the orchestrator, which owns every run that has not ended.
use actix::Message;
use tokio::sync::watch;

use crate::ids::RunId;
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
    /// With it, of all requests of the same key and principal one alone starts a run.
    pub submission: Option<Submission>,
}

/// A run that has not ended, or ended a moment ago; none: ask the store.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<Run>")]
pub struct GetRun(pub RunId);

/// Follows a run: the number counts its changes, and the channel closes when the run has ended.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<watch::Receiver<u64>>")]
pub struct WatchRun(pub RunId);

/// Ends a run before its time: running steps are stopped, the rest is not begun. False: the run has ended already.
/// This and the next two answer once the change is durable.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, StartError>")]
pub struct CancelRun {
    pub run: RunId,
    pub by: String,
}

/// Begins nothing more of a run until it is resumed; steps that run go on. False: nothing to pause.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, StartError>")]
pub struct PauseRun {
    pub run: RunId,
    pub by: String,
}

/// False: the run is not paused.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, StartError>")]
pub struct ResumeRun {
    pub run: RunId,
    pub by: String,
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
    /// False until the journal of the last start has been read.
    pub recovered: bool,
}
