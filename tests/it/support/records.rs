//! Records to store, and a writer to store them with.

use chrono::{DateTime, Utc};
use dsmil::audit::entry::Entry;
use dsmil::ids::{NodeId, RunId};
use dsmil::store::batch::{Answer, Work};
use dsmil::store::database::Database;
use dsmil::store::writer::{Epoch, QUEUE, Request, Writer};
use dsmil::workflow::record::{JournalRow, RunHeader, RunOutcome, StoreError};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub fn node() -> NodeId {
    NodeId::new("n1").expect("valid")
}

/// A moment in the present month, to the microsecond.
pub fn now() -> DateTime<Utc> {
    dsmil::clock::wall()
}

pub fn new_run() -> RunId {
    RunId(Uuid::now_v7())
}

pub fn entry(op: &str) -> Entry {
    Entry {
        at: now(),
        node: node(),
        epoch: 1,
        actor: "service".into(),
        op: op.into(),
        subject: "test".into(),
        outcome: "ok".into(),
        payload: None,
        detail: None,
    }
}

pub fn row(seq: u32) -> JournalRow {
    JournalRow {
        seq,
        at: now(),
        kind: "step_done".into(),
        step: Some("build".parse().expect("valid")),
        agent: Some("PACER".parse().expect("valid")),
        tool: Some("fs.manifest".parse().expect("valid")),
        status: Some("ok".into()),
        body: json!({"seq": seq, "share": 0.25, "text": "a 'quoted' {brace} \u{1F600}"}).into(),
        entry: Some(entry("step.done")),
    }
}

pub fn header(run: RunId, name: &str) -> RunHeader {
    RunHeader {
        run,
        name: name.into(),
        mode: "dag".into(),
        priority: "normal".into(),
        labels: json!({"team": "red"}),
        accepted: now(),
    }
}

pub fn outcome() -> RunOutcome {
    RunOutcome { success_rate: Some(0.75), coverage: None, execution_time_ms: 1234, finished: now() }
}

pub fn begin(run: RunId, rows: Vec<JournalRow>) -> Work {
    Work::run(run, Some(header(run, "baseline")), rows, "pending".into(), None)
}

pub fn go_on(run: RunId, rows: Vec<JournalRow>) -> Work {
    Work::run(run, None, rows, "running".into(), None)
}

/// A writer at work, and the way to ask it.
#[derive(Clone)]
pub struct Asking {
    requests: mpsc::Sender<Request>,
}

/// Starts a writer with an epoch of its own.
pub fn writer(database: &Database) -> (Asking, JoinHandle<Result<(), StoreError>>) {
    writer_of(database, Epoch::default())
}

pub fn writer_of(database: &Database, epoch: Epoch) -> (Asking, JoinHandle<Result<(), StoreError>>) {
    let (requests, waiting) = mpsc::channel(QUEUE);
    let (writer, _) = Writer::new(database.clone(), node(), epoch, Box::new(|_| ()));
    (Asking { requests }, tokio::spawn(writer.run(waiting)))
}

/// A writer that has connected.
pub async fn ready_writer(database: &Database) -> Asking {
    let (mut writer, _) = Writer::new(database.clone(), node(), Epoch::default(), Box::new(|_| ()));
    writer.connect().await.expect("connected");
    let (requests, waiting) = mpsc::channel(QUEUE);
    tokio::spawn(writer.run(waiting));
    Asking { requests }
}

impl Asking {
    pub async fn ask(&self, work: Work) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let gone = || StoreError::Unreachable { detail: "the writer has ended".into() };
        self.requests.send(Request { work, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// The audit indexes of the rows or entries.
    pub async fn indexes(&self, work: Work) -> Vec<Option<u64>> {
        match self.ask(work).await.expect("stored") {
            Answer::Run(appended) => appended.indexes,
            Answer::Entries(range) => range.map(Some).collect(),
        }
    }
}
