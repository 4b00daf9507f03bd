//! The store's one writer as an actor: hands requests to `store::writer`, which commits them in groups.

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Handler, ResponseFuture, Running, WrapFuture};
use tokio::sync::{mpsc, oneshot};

use crate::actors::context::Ctx;
use crate::ids::NodeId;
use crate::messages::auditor::EntriesCommitted;
use crate::messages::port::Port;
use crate::messages::store::AppendEntries;
use crate::messages::store::AppendRun;
use crate::messages::store::BeginEpoch;
use crate::store::batch::Answer;
use crate::store::batch::Work;
use crate::store::database::Database;
use crate::store::writer::Epoch;
use crate::store::writer::Hurry;
use crate::store::writer::OnCommit;
use crate::store::writer::QUEUE;
use crate::store::writer::Request;
use crate::store::writer::Writer;
use crate::workflow::record::Appended;
use crate::workflow::record::StoreError;
use crate::workflow::retention::Kept;

pub struct StoreWriter {
    database: Database,
    node: NodeId,
    /// Shared by all lives of the writer, so that a restart goes on in the epoch of its service.
    epoch: Epoch,
    auditor: Option<Port<EntriesCommitted>>,
    /// There while requests are taken.
    requests: Option<mpsc::Sender<Request>>,
    hurry: Option<Hurry>,
    working: bool,
    /// How long idempotency keys are kept.
    kept: Kept,
}

impl StoreWriter {
    pub fn new(database: Database, node: NodeId, epoch: Epoch, auditor: Option<Port<EntriesCommitted>>) -> Self {
        let (requests, hurry, kept) = (None, None, Kept::default());
        StoreWriter { database, node, epoch, auditor, requests, hurry, working: false, kept }
    }

    pub fn keep(self, kept: Kept) -> Self {
        StoreWriter { kept, ..self }
    }

    fn work(&mut self, writer: Writer, ctx: &mut Ctx<Self>) {
        let (requests, waiting) = mpsc::channel(QUEUE);
        self.requests = Some(requests);
        self.working = true;
        ctx.spawn(writer.run(waiting).into_actor(self).map(|end, actor, ctx| {
            actor.working = false;
            match end {
                Ok(()) => ctx.stop(),
                Err(error) => fail(&error, ctx),
            }
        }));
        ctx.ready();
    }

    /// Puts a request into the queue; the answer comes when its group is durable.
    fn queue(&self, work: Work) -> ResponseFuture<Result<Answer, StoreError>> {
        let (reply, answer) = oneshot::channel();
        let queued = match &self.requests {
            Some(requests) => requests.try_send(Request { work, reply }).map_err(|error| error.to_string()),
            None => Err("the writer is not connected".to_owned()),
        };
        Box::pin(async move {
            queued.map_err(|detail| StoreError::Unreachable { detail })?;
            answer.await.unwrap_or_else(|_| Err(lost_writer()))
        })
    }
}

impl Actor for StoreWriter {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let auditor = self.auditor.clone();
        let on_commit: OnCommit = Box::new(move |size| {
            let told = auditor.as_ref().map_or(Ok(()), |auditor| auditor.try_tell(EntriesCommitted { size }));
            if let Err(error) = told {
                // It reads the outbox by itself when it is back.
                tracing::debug!(%error, size, "the auditor was not told of the commit");
            }
        });
        let (writer, hurry) = Writer::new(self.database.clone(), self.node.clone(), self.epoch.clone(), on_commit);
        let mut writer = writer.keep(self.kept.clone());
        self.hurry = Some(hurry);
        let connect = async move { writer.connect().await.map(|_| writer) };
        ctx.spawn(connect.into_actor(self).map(|connected, actor, ctx| match connected {
            Ok(writer) => actor.work(writer, ctx),
            Err(error) => fail(&error, ctx),
        }));
    }

    /// What is queued is committed before the end, if the database is there to do it.
    fn stopping(&mut self, _: &mut Ctx<Self>) -> Running {
        self.requests = None;
        if let Some(hurry) = &self.hurry {
            hurry.now();
        }
        if self.working { Running::Continue } else { Running::Stop }
    }
}

impl Handler<BeginEpoch> for StoreWriter {
    type Result = Result<i64, StoreError>;

    fn handle(&mut self, BeginEpoch: BeginEpoch, _: &mut Ctx<Self>) -> Self::Result {
        let begun = self.epoch.get().copied();
        begun.ok_or_else(|| StoreError::Unreachable { detail: "no epoch was begun yet".to_owned() })
    }
}

impl Handler<AppendRun> for StoreWriter {
    type Result = ResponseFuture<Result<Appended, StoreError>>;

    fn handle(&mut self, append: AppendRun, _: &mut Ctx<Self>) -> Self::Result {
        let AppendRun { run, header, registration, rows, status, outcome } = append;
        let work = Work::run(run, header, rows, status, outcome);
        let answer = self.queue(match registration {
            Some(registration) => work.registering(registration),
            None => work,
        });
        Box::pin(async move {
            match answer.await? {
                Answer::Run(appended) => Ok(appended),
                Answer::Entries(_) => Err(lost_writer()),
            }
        })
    }
}

impl Handler<AppendEntries> for StoreWriter {
    type Result = ResponseFuture<Result<std::ops::Range<u64>, StoreError>>;

    fn handle(&mut self, AppendEntries(entries): AppendEntries, _: &mut Ctx<Self>) -> Self::Result {
        let answer = self.queue(Work::entries(&entries));
        Box::pin(async move {
            match answer.await? {
                Answer::Entries(range) => Ok(range),
                Answer::Run(_) => Err(lost_writer()),
            }
        })
    }
}

fn fail(error: &StoreError, ctx: &mut Ctx<StoreWriter>) {
    match error {
        // This service was replaced: whatever it believes is past, and it must not go on.
        StoreError::Fenced { .. } => ctx.fail_for_good(error.to_string()),
        _ => ctx.fail(error.to_string()),
    }
}

fn lost_writer() -> StoreError {
    StoreError::Unknown { detail: "the writer ended before it answered".to_owned() }
}
