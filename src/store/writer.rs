//! The one writer of a node: commits in groups, numbers the audit entries, and knows after every fault what is stored.
//!
//! ```text
//! requests wait in a channel -> all that wait are one group -> one statement (append) -> each is answered
//!                               ^ the next group gathers while this one commits
//!
//! connection lost during a commit -> a new session is begun: it waits for the old commit or shuts it out
//!    -> the entries of the group are there: it was stored, answer      (all or none: one statement)
//!    -> they are not: it was not, commit it again
//! no new connection in time -> answer `Unknown`
//! ```
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clock;
use crate::ids::NodeId;
use crate::store::append;
use crate::store::audit_entries;
use crate::store::batch::{Answer, Known, Plan, Work};
use crate::store::database::{Connection, Database};
use crate::store::error::{is_duplicate, is_exhausted, is_lost, text};
use crate::store::migrations;
use crate::store::nodes::{self, Pass};
use crate::store::partitions;
use crate::store::retention;
use crate::workflow::record::StoreError;
use crate::workflow::retention::Kept;

/// The most that waits for the writer; beyond it the database cannot keep up and callers are told so.
pub const QUEUE: usize = 8192;
/// A group ends at so many requests or bytes.
const GROUP: usize = 1024;
const GROUP_BYTES: usize = 8 << 20;
/// A commit that takes longer has lost its connection.
const COMMIT_WITHIN: Duration = Duration::from_secs(30);
/// How long requests in flight wait for a new connection that can tell their outcome.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const MAINTENANCE: Duration = Duration::from_secs(6 * 3600);
/// Until the first, and the next when one left work to do.
const SOON: Duration = Duration::from_secs(1);
/// One commit may find repeats, then lose its connection, then find repeats again.
const ATTEMPTS: usize = 5;

/// The epoch of this start of the service, shared by the incarnations of its writer: the first begins it.
pub type Epoch = Arc<OnceLock<i64>>;

/// A request and where its answer goes.
#[derive(Debug)]
pub struct Request {
    pub work: Work,
    pub reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// Is called with the number of stored audit entries whenever it has grown.
pub type OnCommit = Box<dyn Fn(u64) + Send>;

pub struct Writer {
    database: Database,
    node: NodeId,
    epoch: Epoch,
    on_commit: OnCommit,
    link: Option<Link>,
    schema_checked: bool,
    hurried: watch::Receiver<bool>,
    kept: Kept,
}

/// Tells a writer not to wait any longer for a database that is gone: the service, or the database, is being stopped.
#[derive(Debug)]
pub struct Hurry(watch::Sender<bool>);

impl Hurry {
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

/// A connection that may write.
struct Link {
    connection: Connection,
    pass: Pass,
    next_index: u64,
}

/// How an attempt to commit ended.
enum Attempt {
    Stored,
    /// Some of it is stored already: look up what, and plan again.
    Duplicate,
    Lost(String),
    Failed(StoreError),
}

impl Writer {
    pub fn new(database: Database, node: NodeId, epoch: Epoch, on_commit: OnCommit) -> (Self, Hurry) {
        let (hurry, hurried) = watch::channel(false);
        let (link, kept) = (None, Kept::default());
        let writer = Writer { database, node, epoch, on_commit, link, schema_checked: false, hurried, kept };
        (writer, Hurry(hurry))
    }

    pub fn keep(self, kept: Kept) -> Self {
        Writer { kept, ..self }
    }

    /// Connects, brings schema and partitions up to date, begins the epoch or a session of it.
    pub async fn connect(&mut self) -> Result<i64, StoreError> {
        if !self.schema_checked {
            let run = migrations::run(&self.database).await?;
            if !run.is_empty() {
                tracing::info!(migrations = ?run, "brought the database schema up to date");
            }
            self.schema_checked = true;
        }
        let mut connection = self.database.connect().await?;
        // The commit's plan never changes, and planning it costs more than running it. A server that is configured
        // to confirm before it is durable is overruled.
        let settings = "SET plan_cache_mode = force_generic_plan; SET synchronous_commit = on";
        let set = connection.batch_execute(settings).await;
        set.map_err(|error| StoreError::Unreachable { detail: text(&error) })?;
        let pass = match self.epoch.get() {
            Some(&epoch) => nodes::begin_session(&mut connection, &self.node, epoch).await?,
            None => nodes::begin_epoch(&mut connection, &self.node, clock::wall()).await?,
        };
        let epoch = *self.epoch.get_or_init(|| pass.epoch);
        if epoch != pass.epoch {
            return Err(nodes::fenced(&self.node, epoch, pass.epoch));
        }
        let next_index = audit_entries::next_index(&mut connection, &self.node).await?;
        partitions::ensure(&mut connection, clock::wall(), next_index).await?;
        self.link = Some(Link { connection, pass, next_index });
        Ok(epoch)
    }

    /// Serves requests until their senders are gone. An error is final: this writer must not write any more.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>) -> Result<(), StoreError> {
        let mut maintenance = interval(MAINTENANCE);
        maintenance.set_missed_tick_behavior(MissedTickBehavior::Delay);
        maintenance.reset_after(SOON);
        loop {
            if self.link.is_none() && !self.reconnect(&mut requests).await? {
                return Ok(());
            }
            let first = tokio::select! {
                biased;
                first = requests.recv() => first,
                _ = maintenance.tick() => {
                    if self.maintain().await {
                        maintenance.reset_after(SOON);
                    }
                    continue;
                }
            };
            let Some(first) = first else { return Ok(()) };
            self.serve(gather(first, &mut requests)).await?;
        }
    }

    /// Commits one group and answers its requests.
    async fn serve(&mut self, group: Vec<Request>) -> Result<(), StoreError> {
        let works: Vec<&Work> = group.iter().map(|request| &request.work).collect();
        let before = self.link.as_ref().map_or(0, |link| link.next_index);
        let answers = self.commit(&works).await;
        let after = self.link.as_ref().map_or(before, |link| link.next_index);
        let fenced = answers.iter().find_map(|answer| match answer {
            Err(error @ StoreError::Fenced { .. }) => Some(error.clone()),
            _ => None,
        });
        for (request, answer) in group.into_iter().zip(answers) {
            if request.reply.send(answer).is_err() {
                tracing::debug!("a caller did not wait for its commit");
            }
        }
        if after > before {
            (self.on_commit)(after);
        }
        if before / partitions::SPAN != after / partitions::SPAN {
            self.maintain().await;
        }
        fenced.map_or(Ok(()), Err)
    }

    /// Commits the works as one group, or one by one when the group is refused.
    pub async fn commit(&mut self, works: &[&Work]) -> Vec<Result<Answer, StoreError>> {
        match self.commit_group(works).await {
            Ok(answers) => answers,
            Err(StoreError::Refused { .. }) if works.len() > 1 => self.commit_each(works).await,
            Err(error) => vec![Err(error); works.len()],
        }
    }

    async fn commit_each(&mut self, works: &[&Work]) -> Vec<Result<Answer, StoreError>> {
        let mut refused = Vec::new();
        let mut answers = Vec::with_capacity(works.len());
        for work in works {
            // What follows a refused row of its run would leave a hole in the journal.
            let answer = match work.run_id().filter(|run| refused.contains(run)) {
                Some(run) => {
                    let detail = format!("an earlier append to run {run} was refused");
                    Err(StoreError::Refused { detail })
                }
                None => match self.commit_group(&[work]).await {
                    Ok(mut one) => one.pop().unwrap_or_else(|| Err(not_connected())),
                    Err(error) => Err(error),
                },
            };
            if answer.is_err() {
                refused.extend(work.run_id());
            }
            answers.push(answer);
        }
        answers
    }

    async fn commit_group(&mut self, works: &[&Work]) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
        let mut known = Known::default();
        for _ in 0..ATTEMPTS {
            let link = self.link.as_mut().ok_or_else(not_connected)?;
            let plan = Plan::new(works.iter().copied(), link.next_index, &known);
            if plan.is_empty() {
                return Ok(plan.answers);
            }
            match link.attempt(&self.node, &plan).await {
                Attempt::Stored => {
                    link.next_index = plan.indexes.end;
                    return Ok(plan.answers);
                }
                Attempt::Failed(error) => return Err(error),
                Attempt::Lost(detail) => {
                    self.resolve(detail).await?;
                    let next_index = self.link.as_ref().map_or(0, |link| link.next_index);
                    // One statement: if its entries are there, all of it is.
                    if !plan.indexes.is_empty() && next_index == plan.indexes.end {
                        return Ok(plan.answers);
                    }
                }
                Attempt::Duplicate => {}
            }
            known = match self.look_up(works).await {
                Ok(known) => known,
                Err(StoreError::Unreachable { detail }) => {
                    self.resolve(detail).await?;
                    Known::default()
                }
                Err(error) => return Err(error),
            };
        }
        Err(StoreError::Unreachable { detail: format!("no commit in {ATTEMPTS} attempts") })
    }

    /// Reads what is stored of the group, and where the log ends.
    async fn look_up(&mut self, works: &[&Work]) -> Result<Known, StoreError> {
        let link = self.link.as_mut().ok_or_else(not_connected)?;
        link.next_index = audit_entries::next_index(&mut link.connection, &self.node).await?;
        append::look_up(&mut link.connection, &self.node, works, self.kept.keys).await.map_err(|error| {
            match is_lost(&error) {
                true => StoreError::Unreachable { detail: text(&error) },
                false => StoreError::Refused { detail: text(&error) },
            }
        })
    }

    /// Replaces a connection that was lost in the middle of something.
    async fn resolve(&mut self, detail: String) -> Result<(), StoreError> {
        tracing::warn!(detail, "lost the database connection; finding out what was stored");
        self.link = None;
        let mut last = detail;
        let mut hurried = self.hurried.clone();
        let attempts = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.connect().await {
                    Ok(_) => return Ok(()),
                    Err(error @ StoreError::Fenced { .. }) => return Err(error),
                    Err(error) => last = error.to_string(),
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let resolved = tokio::select! {
            resolved = timeout(RESOLVE_WITHIN, attempts) => resolved.ok(),
            // Without its `Hurry` nobody can hurry a writer, and it takes its time.
            Ok(_) = hurried.wait_for(|hurried| *hurried) => None,
        };
        resolved.unwrap_or_else(|| {
            self.link = None;
            Err(StoreError::Unknown { detail: last })
        })
    }

    /// Connects again, with longer and longer pauses; until then every request is refused at once.
    /// False: nobody is left to serve.
    async fn reconnect(&mut self, requests: &mut mpsc::Receiver<Request>) -> Result<bool, StoreError> {
        let mut detail = "connecting".to_owned();
        let mut pause = FIRST_PAUSE;
        loop {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = refuse_all(requests, &detail) => return Ok(false),
            };
            match connected {
                Ok(epoch) => {
                    tracing::info!(node = %self.node, epoch, "the writer is connected");
                    return Ok(true);
                }
                Err(error @ (StoreError::Fenced { .. } | StoreError::Refused { .. })) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the writer cannot connect; trying again in {pause:?}");
                    detail = error.to_string();
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = refuse_all(requests, &detail) => return Ok(false),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// True: there is more to do.
    async fn maintain(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        if let Err(error) = partitions::ensure(&mut link.connection, clock::wall(), link.next_index).await {
            // Rows go to the default partitions meanwhile.
            tracing::warn!(%error, "partitions could not be made");
        }
        retention::sweep(&mut link.connection, &self.node, &self.kept).await
    }
}

impl Link {
    async fn attempt(&mut self, node: &NodeId, plan: &Plan<'_>) -> Attempt {
        let commit = append::commit(&mut self.connection, node, self.pass, plan);
        let verdict = match timeout(COMMIT_WITHIN, commit).await {
            Err(_) => return Attempt::Lost(format!("no answer within {COMMIT_WITHIN:?}")),
            Ok(Ok(Some(verdict))) => verdict,
            Ok(Ok(None)) => {
                return Attempt::Failed(StoreError::Refused { detail: format!("node `{node}` is unknown") });
            }
            Ok(Err(error)) if is_lost(&error) => return Attempt::Lost(text(&error)),
            Ok(Err(error)) if is_duplicate(&error) => return Attempt::Duplicate,
            Ok(Err(error)) => {
                // Whatever it was: if the connection lives, the server rolled the statement back.
                if self.connection.batch_execute("").await.is_err() {
                    return Attempt::Lost(text(&error));
                }
                let detail = text(&error);
                return Attempt::Failed(match is_exhausted(&error) {
                    true => StoreError::Unreachable { detail },
                    false => StoreError::Refused { detail },
                });
            }
        };
        if verdict.pass.epoch != self.pass.epoch {
            return Attempt::Failed(nodes::fenced(node, self.pass.epoch, verdict.pass.epoch));
        }
        if verdict.pass.session != self.pass.session {
            // An older incarnation of this writer, which was left behind; it may begin no session.
            return Attempt::Failed(StoreError::Refused { detail: "another writer of this start took over".into() });
        }
        if verdict.found != verdict.expected {
            let detail = "a run of the request was never begun on this node".into();
            return Attempt::Failed(StoreError::Refused { detail });
        }
        Attempt::Stored
    }
}

/// All that waits, up to the size of a group.
fn gather(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.work.size();
    let mut group = vec![first];
    while group.len() < GROUP && bytes < GROUP_BYTES {
        let Ok(request) = requests.try_recv() else { break };
        bytes += request.work.size();
        group.push(request);
    }
    group
}

/// Refuses requests as they come; ends when nobody can send any more.
async fn refuse_all(requests: &mut mpsc::Receiver<Request>, detail: &str) {
    while let Some(request) = requests.recv().await {
        let refusal = Err(StoreError::Unreachable { detail: detail.to_owned() });
        if request.reply.send(refusal).is_err() {
            tracing::debug!("a caller did not wait to be refused");
        }
    }
}

fn not_connected() -> StoreError {
    StoreError::Unreachable { detail: "the writer is not connected".to_owned() }
}
