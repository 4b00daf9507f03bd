//! The auditor: keeps the Merkle log on disk, has its heads signed, proves entries, and makes single entries durable.
//!
//! Its work is done by two tasks that live and die with it: the `sealer` copies entries from the database to the log and
//! has the head signed, the `recorder` takes entries that belong to no other database row. What they have come to is in
//! the `view`, which the handlers read.
mod recorder;
mod sealer;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use actix::fut::ActorFutureExt as _;
use actix::fut::WrapFuture as _;
use actix::{Actor, ActorContext as _, AsyncContext as _, Handler, ResponseFuture, Running, StreamHandler};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::actors::auditor::recorder::Recorder;
use crate::actors::auditor::recorder::Recording;
use crate::actors::auditor::recorder::Request;
use crate::actors::auditor::sealer::Sealer;
use crate::actors::auditor::view::View;
use crate::actors::context::Ctx;
use crate::audit::checkpoint::origin;
use crate::audit::proof::inclusion;
use crate::audit::source::LogSource as _;
use crate::audit::tile::read_node;
use crate::audit::tlog_proof::TlogProof;
use crate::ids::NodeId;
use crate::logfiles::disk::LogDir;
use crate::messages::auditor::AuditError;
use crate::messages::auditor::AwaitSealed;
use crate::messages::auditor::EntriesCommitted;
use crate::messages::auditor::GetHead;
use crate::messages::auditor::GetLogFile;
use crate::messages::auditor::GetProof;
use crate::messages::auditor::GetVerifierKey;
use crate::messages::auditor::Record;
use crate::messages::auditor::SignedHead;
use crate::messages::auditor::VerifierKey;
use crate::messages::compute::Compute;
use crate::messages::port::Port;
use crate::messages::signer::GetLogKey;
use crate::messages::signer::SignDigest;
use crate::messages::store::AppendEntries;
use crate::messages::store::CountEntries;
use crate::messages::store::LoadEntries;
use crate::toolkit::causes::with_causes;

/// Entries that may wait to be made durable.
const QUEUE: usize = 1024;
/// How long a stop waits for the last entries to be signed.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// Whom the auditor asks.
#[derive(Clone)]
pub struct AuditorPorts {
    pub key: Port<GetLogKey>,
    pub sign: Port<SignDigest>,
    pub append: Port<AppendEntries>,
    pub count: Port<CountEntries>,
    pub load: Port<LoadEntries>,
    pub compute: Port<Compute>,
}

pub struct Auditor {
    log: LogDir,
    tasks: Option<(Sealer, Recorder)>,
    view: watch::Receiver<View>,
    committed: watch::Sender<u64>,
    records: mpsc::Sender<Request>,
    /// By the index that has to be covered.
    waiters: BTreeMap<u64, Vec<oneshot::Sender<SignedHead>>>,
    stopping: bool,
}

/// The view has changed.
struct Changed;

impl Auditor {
    /// `dir` is the `audit` directory: the log goes to `log` in it, entries that wait for the database to `wal`.
    pub fn new(node: &NodeId, dir: PathBuf, ports: AuditorPorts) -> Self {
        let AuditorPorts { key, sign, append, count, load, compute } = ports;
        let log = LogDir::at(&dir.join("log"));
        let (tell, view) = watch::channel(View::new());
        let (committed, news) = watch::channel(0);
        let (records, requests) = mpsc::channel(QUEUE);
        let sealer = Sealer {
            origin: origin(node),
            log: log.clone(),
            key,
            sign,
            count: count.clone(),
            load: load.clone(),
            compute,
            view: tell,
            committed: news,
        };
        let (seen, told) = (view.clone(), committed.clone());
        let recorder = Recorder { path: dir.join("wal"), append, count, load, view: seen, committed: told, requests };
        let tasks = Some((sealer, recorder));
        Auditor { log, tasks, view, committed, records, waiters: BTreeMap::new(), stopping: false }
    }

    /// Answers those whose entries the newest head covers; after a refusal nobody is answered any more.
    fn tell_sealed(&mut self) {
        let head = match self.view.borrow().head() {
            Ok(head) => head,
            Err(_) if self.view.borrow().refusal().is_some() => return self.waiters.clear(),
            Err(_) => return,
        };
        let uncovered = self.waiters.split_off(&head.size);
        for tell in std::mem::replace(&mut self.waiters, uncovered).into_values().flatten() {
            // Whoever waited may have gone.
            drop(tell.send(head.clone()));
        }
    }

    fn recording(opened: Result<Recording, String>, auditor: &mut Self, ctx: &mut Ctx<Self>) {
        match opened {
            Err(reason) => ctx.fail(reason),
            Ok(recording) => {
                ctx.spawn(recording.run().into_actor(auditor).map(|ended, _, ctx| {
                    if let Err(reason) = ended {
                        ctx.fail(reason);
                    }
                }));
                ctx.ready();
            }
        }
    }
}

impl Actor for Auditor {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let Some((sealer, recorder)) = self.tasks.take() else { return };
        ctx.spawn(sealer.run().into_actor(self).map(|reason, _, _| {
            tracing::error!(%reason, "the audit log is not signed any more: {reason}");
        }));
        ctx.spawn(recorder.open().into_actor(self).map(Self::recording));
        ctx.add_stream(stream::unfold(self.view.clone(), |mut view| async move {
            view.changed().await.ok().map(|()| (Changed, view))
        }));
    }

    fn stopping(&mut self, ctx: &mut Ctx<Self>) -> Running {
        let (view, known) = (self.view.borrow(), *self.committed.borrow());
        // A runtime that is being dropped has no time to wait in.
        let no_time = tokio::runtime::Handle::try_current().is_err();
        if self.stopping || no_time || view.sealed() >= known || view.refusal().is_some() {
            return Running::Stop;
        }
        drop(view);
        self.stopping = true;
        let mut view = self.view.clone();
        let sealed = async move { view.wait_for(|view| view.sealed() >= known).await.is_ok() };
        ctx.spawn(async move { tokio::time::timeout(LAST_HEAD, sealed).await.is_ok() }.into_actor(self).map(
            |sealed, _, ctx| {
                if !sealed {
                    tracing::warn!("the last audit entries are signed at the next start");
                }
                ctx.stop();
            },
        ));
        Running::Continue
    }
}

impl StreamHandler<Changed> for Auditor {
    fn handle(&mut self, Changed: Changed, _: &mut Ctx<Self>) {
        self.tell_sealed();
    }

    // The sealer has ended, which its own future has dealt with: entries are recorded on.
    fn finished(&mut self, _: &mut Ctx<Self>) {
        self.tell_sealed();
    }
}

impl Handler<Record> for Auditor {
    type Result = ResponseFuture<Result<(), AuditError>>;

    fn handle(&mut self, Record(entry): Record, _: &mut Ctx<Self>) -> Self::Result {
        let (reply, kept) = oneshot::channel();
        let taken = self.records.try_send(Request { entry, reply });
        Box::pin(async move {
            let lost = |detail: &str| AuditError::Disk { detail: detail.to_owned() };
            taken.map_err(|_| lost("too many entries wait to be written"))?;
            kept.await.map_err(|_| lost("the auditor ended before it had written the entry"))?
        })
    }
}

impl Handler<EntriesCommitted> for Auditor {
    type Result = ();

    fn handle(&mut self, EntriesCommitted { size }: EntriesCommitted, _: &mut Ctx<Self>) {
        self.committed.send_if_modified(|known| {
            let news = size > *known;
            *known = size.max(*known);
            news
        });
    }
}

impl Handler<GetHead> for Auditor {
    type Result = Result<SignedHead, AuditError>;

    fn handle(&mut self, _: GetHead, _: &mut Ctx<Self>) -> Self::Result {
        self.view.borrow().head()
    }
}

impl Handler<AwaitSealed> for Auditor {
    type Result = Result<oneshot::Receiver<SignedHead>, AuditError>;

    fn handle(&mut self, AwaitSealed { index }: AwaitSealed, _: &mut Ctx<Self>) -> Self::Result {
        if let Some(refusal) = self.view.borrow().refusal() {
            return Err(refusal);
        }
        let (tell, sealed) = oneshot::channel();
        self.waiters.entry(index).or_default().push(tell);
        self.tell_sealed();
        Ok(sealed)
    }
}

impl Handler<GetProof> for Auditor {
    type Result = ResponseFuture<Result<String, AuditError>>;

    fn handle(&mut self, GetProof { index }: GetProof, _: &mut Ctx<Self>) -> Self::Result {
        let (head, log) = (self.view.borrow().head(), self.log.clone());
        Box::pin(async move {
            let head = head?;
            blocking(move || prove(&log, index, head)).await
        })
    }
}

impl Handler<GetVerifierKey> for Auditor {
    type Result = Result<VerifierKey, AuditError>;

    fn handle(&mut self, _: GetVerifierKey, _: &mut Ctx<Self>) -> Self::Result {
        self.view.borrow().key()
    }
}

impl Handler<GetLogFile> for Auditor {
    type Result = ResponseFuture<Result<Option<Vec<u8>>, AuditError>>;

    fn handle(&mut self, GetLogFile { path }: GetLogFile, _: &mut Ctx<Self>) -> Self::Result {
        let log = self.log.clone();
        Box::pin(blocking(move || log.read(&path).map_err(|error| disk(&error))))
    }
}

fn prove(log: &LogDir, index: u64, head: SignedHead) -> Result<String, AuditError> {
    if index >= head.size {
        return Err(AuditError::BeyondEnd { index, size: head.size });
    }
    let path = inclusion(index, head.size, &mut |node| read_node(log, node, head.size));
    let path = path.map_err(|error| disk(&error))?;
    Ok(TlogProof { index, path, checkpoint: head.note }.text())
}

fn disk(error: &dyn std::error::Error) -> AuditError {
    AuditError::Disk { detail: with_causes(error) }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| disk(&error))?
}
