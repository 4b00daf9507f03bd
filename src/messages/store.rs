//! What can be asked of the store: one writer that commits in groups, and readers.
//!
//! The writer is the only allocator of audit indexes on its node: an entry gets its index in the transaction that
//! makes it durable, so the log has no gaps and no forks. The records themselves are `workflow::record`.
use actix::Message;

use crate::audit::entry::Entry;
use crate::ids::{AgentId, RunId, ToolId};

use crate::workflow::record::Appended;
use crate::workflow::record::DamagedRun;
use crate::workflow::record::JournalRow;
use crate::workflow::record::KnownSubmission;
use crate::workflow::record::Registration;
use crate::workflow::record::RunHeader;
use crate::workflow::record::RunOutcome;
use crate::workflow::record::RunPage;
use crate::workflow::record::StoreError;
use crate::workflow::record::StoreStatus;
use crate::workflow::record::StoredEntry;
use crate::workflow::record::StoredRun;
use crate::workflow::run_filter::RunFilter;
use crate::workflow::submission::IdempotencyKey;

/// Begins this start's epoch of the node, or answers the one already begun by this start. Entries carry it, and a
/// writer of an earlier epoch is fenced from then on.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<i64, StoreError>")]
pub struct BeginEpoch;

/// Stores rows of one run; answers when they are durable. Either all are kept or none.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<Appended, StoreError>")]
pub struct AppendRun {
    pub run: RunId,
    /// With the first rows of a run.
    pub header: Option<RunHeader>,
    /// With the header.
    pub registration: Option<Registration>,
    pub rows: Vec<JournalRow>,
    /// The run's status from now on.
    pub status: String,
    /// With the last rows of a run.
    pub outcome: Option<RunOutcome>,
}

/// Stores audit entries that belong to no run; answers their indexes when durable.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<std::ops::Range<u64>, StoreError>")]
pub struct AppendEntries(pub Vec<Entry>);

/// All runs of this node that have not ended, oldest first; a damaged one does not keep the others away.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<Result<StoredRun, DamagedRun>>, StoreError>")]
pub struct LoadOpenRuns;

/// Of the newest runs of this node, up to 200, those that ended and that nothing was learned of.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<Result<StoredRun, DamagedRun>>, StoreError>")]
pub struct LoadUnlearnedRuns;

#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Option<StoredRun>, StoreError>")]
pub struct LoadRun(pub RunId);

/// A page of runs, newest first.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "Result<RunPage, StoreError>")]
pub struct ListRuns(pub RunFilter);

/// The run that this key of this principal has started, as long as keys are kept.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<KnownSubmission>, StoreError>")]
pub struct FindSubmission {
    pub principal: String,
    pub key: IdempotencyKey,
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

/// Is the database there? Answers its version line and the state of the schema.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<StoreStatus, StoreError>")]
pub struct GetStoreStatus;
