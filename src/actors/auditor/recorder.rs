//! The task that makes single entries durable: in the database if it answers, else in a file of our own, from which
//! they are moved to the database in order as soon as it is back.
//!
//! An entry goes to the database once. Whether it is there already, because only the answer was lost or we were killed
//! before the file was emptied, is found out by its bytes, which hold the microsecond of its making. One window is left:
//! a request that nobody answered in time, and that the database carries out only after that comparison.
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::actors::auditor::view::View;
use crate::audit::entry::Entry;
use crate::audit::tile::LONGEST_ENTRY;
use crate::logfiles::wal::Waiting;
use crate::logfiles::wal::Wal;
use crate::logfiles::wal::WalError;
use crate::messages::auditor::AuditError;
use crate::messages::port::Port;
use crate::messages::store::AppendEntries;
use crate::messages::store::CountEntries;
use crate::messages::store::LoadEntries;
use crate::toolkit::causes::with_causes;

const BATCH: usize = 256;
/// The most that one request for entries answers.
const PAGE: u64 = 10_000;
/// An entry must not wait longer than this for a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
const TRY_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Request {
    pub entry: Entry,
    pub reply: oneshot::Sender<Result<(), AuditError>>,
}

pub(super) struct Recorder {
    pub path: PathBuf,
    pub append: Port<AppendEntries>,
    pub count: Port<CountEntries>,
    pub load: Port<LoadEntries>,
    pub view: watch::Receiver<View>,
    pub committed: watch::Sender<u64>,
    pub requests: mpsc::Receiver<Request>,
}

/// A recorder whose file is open.
pub(super) struct Recording {
    recorder: Recorder,
    wal: Wal,
    waiting: Vec<Waiting>,
    said: bool,
}

impl Recorder {
    /// Opens the file and takes over what an earlier start left in it.
    pub async fn open(self) -> Result<Recording, String> {
        let path = self.path.clone();
        let opened = tokio::task::spawn_blocking(move || Wal::open(&path)).await;
        let (wal, left) = opened.map_err(|error| with_causes(&error))?.map_err(|error| with_causes(&error))?;
        if let Some(damaged) = left.damaged {
            let (path, kept) = (damaged.display(), left.waiting.len());
            tracing::error!(%path, kept, "waiting audit entries were damaged: {kept} were taken over, see {path}");
        }
        Ok(Recording { recorder: self, wal, waiting: left.waiting, said: false })
    }
}

impl Recording {
    /// Works until the actor goes, or the file cannot be used any more.
    pub async fn run(mut self) -> Result<(), String> {
        let mut news = self.recorder.committed.subscribe();
        loop {
            self.drain().await?;
            tokio::select! {
                request = self.recorder.requests.recv() => {
                    let Some(request) = request else { return Ok(()) };
                    self.take(request).await?;
                }
                () = tokio::time::sleep(TRY_AGAIN), if !self.waiting.is_empty() => {}
                changed = news.changed(), if !self.waiting.is_empty() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Makes a request durable, and with it all others that are there.
    async fn take(&mut self, first: Request) -> Result<(), String> {
        let mut requests = vec![first];
        while requests.len() < BATCH
            && let Ok(more) = self.recorder.requests.try_recv()
        {
            requests.push(more);
        }
        let (requests, long): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|request| request.entry.canonical().len() <= LONGEST_ENTRY);
        for request in long {
            let detail =
                format!("an entry may have {LONGEST_ENTRY} bytes; put the rest where `payload` is the hash of");
            drop(request.reply.send(Err(AuditError::Disk { detail })));
        }
        let (entries, replies): (Vec<_>, Vec<_>) =
            requests.into_iter().map(|request| (request.entry, request.reply)).unzip();
        // Read before the database is asked, so that whatever comes of the request is found from here on.
        let since = self.recorder.view.borrow().size;
        let kept = if self.waiting.is_empty() && self.append(entries.clone()).await {
            Ok(())
        } else {
            self.set_aside(entries.into_iter().map(|entry| Waiting { since, entry }).collect()).await?
        };
        for reply in replies {
            // The one who asked may not wait any more; the entry is kept all the same.
            drop(reply.send(kept.clone()));
        }
        Ok(())
    }

    /// Answers whether the database has them for certain.
    async fn append(&mut self, entries: Vec<Entry>) -> bool {
        let count = entries.len();
        let answer = self.recorder.append.ask_within(AppendEntries(entries), PATIENCE).await;
        let reason = match answer {
            Ok(Ok(range)) => {
                self.recorder.committed.send_if_modified(|known| {
                    let news = range.end > *known;
                    *known = range.end.max(*known);
                    news
                });
                return true;
            }
            Ok(Err(error)) => with_causes(&error),
            Err(error) => with_causes(&error),
        };
        if !self.said {
            tracing::warn!(count, %reason, "audit entries wait in a local file: {reason}");
            self.said = true;
        }
        false
    }

    async fn set_aside(&mut self, waiting: Vec<Waiting>) -> Result<Result<(), AuditError>, String> {
        let written = waiting.clone();
        let result = self.with_wal(move |wal| wal.append(&written)).await?;
        Ok(match result {
            Ok(()) => {
                self.waiting.extend(waiting);
                Ok(())
            }
            Err(error) => Err(AuditError::Disk { detail: with_causes(&error) }),
        })
    }

    /// Moves what waits to the database, if it answers.
    async fn drain(&mut self) -> Result<(), String> {
        let Some(since) = self.waiting.iter().map(|waiting| waiting.since).min() else { return Ok(()) };
        let Some(mut there) = self.already_there(since).await else { return Ok(()) };
        let missing: Vec<Entry> = self
            .waiting
            .iter()
            .map(|waiting| &waiting.entry)
            .filter(|entry| match there.get_mut(&entry.canonical()) {
                Some(found) if *found > 0 => {
                    *found -= 1;
                    false
                }
                _ => true,
            })
            .cloned()
            .collect();
        for batch in missing.chunks(BATCH) {
            if !self.append(batch.to_vec()).await {
                return Ok(());
            }
        }
        let moved = self.waiting.len();
        if let Err(error) = self.with_wal(Wal::clear).await? {
            return Err(with_causes(&error));
        }
        self.waiting.clear();
        self.said = false;
        tracing::info!(moved, "{moved} audit entries were moved from the local file to the database");
        Ok(())
    }

    /// How often the database has each of the waiting entries. None if it does not answer.
    async fn already_there(&self, since: u64) -> Option<HashMap<Vec<u8>, usize>> {
        let mut there: HashMap<_, _> = self.waiting.iter().map(|waiting| (waiting.entry.canonical(), 0)).collect();
        let count = self.recorder.count.ask_within(CountEntries, PATIENCE).await.ok()?.ok()?;
        let mut from = since;
        while from < count {
            let to = count.min(from + PAGE);
            let entries = self.recorder.load.ask_within(LoadEntries { from, to }, PATIENCE).await.ok()?.ok()?;
            for entry in &entries {
                if let Some(found) = there.get_mut(&entry.leaf) {
                    *found += 1;
                }
            }
            from = to;
        }
        Some(there)
    }

    /// Uses the file where blocking is no harm.
    async fn with_wal(
        &mut self,
        work: impl FnOnce(&mut Wal) -> Result<(), WalError> + Send + 'static,
    ) -> Result<Result<(), WalError>, String> {
        let mut wal = self.wal.try_clone().map_err(|error| with_causes(&error))?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut wal);
            (wal, result)
        });
        let (wal, result) = done.await.map_err(|error| with_causes(&error))?;
        self.wal = wal;
        Ok(result)
    }
}
