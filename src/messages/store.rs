//! What can be asked of the store: one writer that commits in groups, and readers.
//!
//! The writer is the only allocator of audit indexes on its node: an entry gets its index in the transaction that
//! makes it durable, so the log has no gaps and no forks.
use actix::Message;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::audit::entry::Entry;
use crate::ids::{AgentId, Digest, NodeId, RunId, StepId, ToolId};

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
    pub body: Value,
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

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutcome {
    pub success_rate: Option<f64>,
    pub coverage: Option<f64>,
    pub execution_time_ms: u64,
    pub finished: DateTime<Utc>,
}

/// Stores rows of one run; answers when they are durable. Either all are kept or none.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<Appended, StoreError>")]
pub struct AppendRun {
    pub run: RunId,
    /// With the first rows of a run.
    pub header: Option<RunHeader>,
    pub rows: Vec<JournalRow>,
    /// The run's status from now on.
    pub status: String,
    /// With the last rows of a run.
    pub outcome: Option<RunOutcome>,
}

/// The audit index of each row's entry, in the order of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub indexes: Vec<Option<u64>>,
}

/// Stores audit entries that belong to no run; answers their indexes when durable.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<std::ops::Range<u64>, StoreError>")]
pub struct AppendEntries(pub Vec<Entry>);

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

/// All runs of this node that have not ended, oldest first.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<StoredRun>, StoreError>")]
pub struct LoadOpenRuns;

#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Option<StoredRun>, StoreError>")]
pub struct LoadRun(pub RunId);

/// A page of runs, newest first.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "Result<RunPage, StoreError>")]
pub struct ListRuns {
    pub status: Option<String>,
    pub name: Option<String>,
    /// 1 to 500.
    pub limit: u32,
    /// Only runs before this one.
    pub before: Option<RunId>,
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

/// The newest finished attempt of `agent` with `tool` whose status is `ok` or `degraded`, in another run than `except`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<(RunId, JournalRow)>, StoreError>")]
pub struct LoadLastAttempt {
    pub agent: AgentId,
    pub tool: ToolId,
    pub except: RunId,
}

/// Audit entries of this node with `from <= index < to`, at most 10,000.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<StoredEntry>, StoreError>")]
pub struct LoadEntries {
    pub from: u64,
    pub to: u64,
}

/// Number of audit entries of this node that are durable in the database.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<u64, StoreError>")]
pub struct CountEntries;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    pub index: u64,
    /// Canonical JSON, exactly as hashed.
    pub leaf: Vec<u8>,
    pub leaf_hash: Digest,
}

/// Is the database there? Answers its version line and the state of the schema.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<StoreStatus, StoreError>")]
pub struct GetStoreStatus;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    pub version: String,
    pub migrations: Vec<String>,
    pub size_bytes: u64,
}
