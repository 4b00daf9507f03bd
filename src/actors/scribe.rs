//! Writes entries into the audit log for parts that have no journal: supervision, access, alerts.
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::{info, warn};

use crate::audit::entry::Entry;
use crate::clock;
use crate::ids::NodeId;
use crate::messages::auditor::Record;
use crate::messages::port::Port;
use crate::messages::store::BeginEpoch;

/// Between the first two tries to reach the auditor; doubled for each further one.
const RETRY: Duration = Duration::from_millis(20);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// For the record of a change that holds already; after this whoever made it is answered, and the record is made later.
const NOTED_WITHIN: Duration = Duration::from_secs(10);

/// Who did what to what, and how it went.
#[derive(Debug, Clone)]
pub struct Deed {
    /// `token:<id>`, `service`, `alerts` ...
    pub actor: String,
    pub op: &'static str,
    pub subject: String,
    pub outcome: &'static str,
    pub detail: Option<String>,
}

/// Where entries of the service itself go; cheap to clone.
#[derive(Clone)]
pub struct Scribe {
    pub node: NodeId,
    begin: Port<BeginEpoch>,
    record: Port<Record>,
    /// Known once the database has given it, and then also without the database.
    epoch: Arc<OnceLock<i64>>,
}

impl Scribe {
    pub fn new(node: NodeId, begin: Port<BeginEpoch>, record: Port<Record>) -> Self {
        Scribe { node, begin, record, epoch: Arc::default() }
    }

    /// The number of this start, once the database has given it.
    pub async fn epoch(&self) -> i64 {
        loop {
            if let Some(epoch) = self.epoch.get() {
                return *epoch;
            }
            if let Ok(Ok(epoch)) = self.begin.ask(BeginEpoch).await {
                return *self.epoch.get_or_init(|| epoch);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Returns when the deed is durable.
    pub async fn note(&self, Deed { actor, op, subject, outcome, detail }: Deed) {
        let (at, epoch) = (clock::wall(), self.epoch().await);
        let (op, outcome) = (op.to_owned(), outcome.to_owned());
        let node = self.node.clone();
        self.record(Entry { at, node, epoch, actor, op, subject, outcome, payload: None, detail }).await;
    }

    /// Puts a change on record that holds already. An audit log that is away must not keep the one who made it from the
    /// answer.
    pub async fn note_or_later(&self, deed: Deed) {
        let (scribe, op, subject) = (self.clone(), deed.op, deed.subject.clone());
        let noting = actix_rt::spawn(async move { scribe.note(deed).await });
        match tokio::time::timeout(NOTED_WITHIN, noting).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => warn!(op, subject, "{op} of {subject} is not on record: {fault}"),
            Err(_) => warn!(op, subject, "{op} of {subject} holds, and its record waits for the audit log"),
        }
    }

    /// A deed of the service itself, on its node.
    pub async fn note_own(&self, op: &'static str, outcome: &'static str) {
        let detail = Some(format!("version {}", env!("CARGO_PKG_VERSION")));
        let subject = format!("node/{}", self.node);
        self.note(Deed { actor: "service".to_owned(), op, subject, outcome, detail }).await;
    }

    /// Tries until the auditor has made the entry durable.
    pub async fn record(&self, entry: Entry) {
        let mut pause = RETRY;
        loop {
            match self.record.ask(Record(entry.clone())).await {
                Ok(Ok(())) => return,
                Ok(Err(fault)) => warn!(op = %entry.op, "an audit entry waits: {fault}"),
                Err(fault) if fault.certainly_not_executed() => {}
                // It may have been recorded: twice is better than not at all.
                Err(fault) => info!(op = %entry.op, "an audit entry is recorded again: {fault}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }
}
