//! What is kept of runs and of the audit log: the plain records between the engine and the database.
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::audit::entry::Entry;
use crate::ids::{AgentId, Digest, NodeId, RunId, StepId, ToolId};
use crate::workflow::body::Body;
use crate::workflow::submission::Submission;

/// Why a record was not kept or not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Certainly not stored: may be asked again.
    #[error("the database is not reachable: {detail}")]
    Unreachable { detail: String },
    /// The commit was sent and no answer came: the writer finds out before it goes on, and the caller may ask again
    /// (rows are keyed by run and sequence number, so that a repeat stores nothing twice).
    #[error("the database did not confirm the commit: {detail}")]
    Unknown { detail: String },
    #[error("the database refused the statement: {detail}")]
    Refused { detail: String },
    /// Another service has begun a later epoch of this node: this one must stop writing.
    #[error("epoch {ours} of node `{node}` was replaced by epoch {newest}")]
    Fenced { node: NodeId, ours: i64, newest: i64 },
    /// Certainly not stored: the key of the submission has started another run. `same`: with the same body.
    #[error("its idempotency key has started run {run}")]
    KeyTaken { run: RunId, same: bool },
    /// A stored row breaks the rules of its type: it was changed by other hands.
    #[error("a row of {table} cannot be read: {detail}")]
    Damaged { table: &'static str, detail: String },
}

/// A stored run that cannot be taken up: a row of it was changed by other hands. Other runs are not concerned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run {run} cannot be read from the database")]
pub struct DamagedRun {
    pub run: RunId,
    #[source]
    pub cause: StoreError,
}

/// One event of a run, as it is stored. `kind` and the columns beside it are for finding; `body` is the event.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// Counts up from 0 within the run.
    pub seq: u32,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub step: Option<StepId>,
    pub agent: Option<AgentId>,
    pub tool: Option<ToolId>,
    /// Of a finished attempt: the tool's status.
    pub status: Option<String>,
    pub body: Body,
    /// The audit entry that is written in the same transaction.
    pub entry: Option<Entry>,
}

/// What is listed of a run without reading its journal.
#[derive(Debug, Clone, PartialEq)]
pub struct RunHeader {
    pub run: RunId,
    pub name: String,
    pub mode: String,
    pub priority: String,
    pub labels: Value,
    pub accepted: DateTime<Utc>,
}

/// What is stored once with a new run, to find it by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// Who asked.
    pub by: String,
    /// Those that the plan names.
    pub agents: Vec<AgentId>,
    /// Keys are told apart by who asked.
    pub submission: Option<Submission>,
}

/// The run that a key has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSubmission {
    pub run: RunId,
    pub body: Digest,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutcome {
    pub success_rate: Option<f64>,
    pub coverage: Option<f64>,
    pub execution_time_ms: u64,
    pub finished: DateTime<Utc>,
}

/// The audit index of each row's entry, in the order of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub indexes: Vec<Option<u64>>,
}

/// A run as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    pub node: NodeId,
    pub header: RunHeader,
    pub status: String,
    pub outcome: Option<RunOutcome>,
    /// In the order of `seq`, each with the audit index of its entry; `entry` itself is not loaded.
    pub rows: Vec<(JournalRow, Option<u64>)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RunPage {
    pub runs: Vec<RunSummary>,
    pub next: Option<RunId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    pub node: NodeId,
    pub header: RunHeader,
    pub status: String,
    pub outcome: Option<RunOutcome>,
    /// Audit index of the newest entry of the run.
    pub audit_index: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    pub index: u64,
    /// Canonical JSON, exactly as hashed.
    pub leaf: Vec<u8>,
    pub leaf_hash: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    pub version: String,
    pub migrations: Vec<String>,
    pub size_bytes: u64,
}
