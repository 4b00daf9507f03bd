//! The task that copies entries from the database to the log on disk and has its head signed.
//!
//! ```text
//! open the log, get the key, compare with the database
//!   `-> loop: load what is new -> add tiles -> sign the head -> replace `checkpoint` -> tell
//! ```
//! One signature is under way at a time; what is committed meanwhile becomes the next batch. A head costs half a dozen
//! flushes of the disk that commits wait for too, so there are a few a second at most. A part that does not answer is
//! asked again; a contradiction between disk and database ends the task.
use std::sync::Arc;
use std::time::Duration;

use sha2::Digest as _;
use sha2::Sha256;
use tokio::sync::watch;

use crate::actors::auditor::view::State;
use crate::actors::auditor::view::View;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::growth::Growth;
use crate::audit::merkle::hash_leaf;
use crate::audit::note::NoteKey;
use crate::audit::source::LogSource as _;
use crate::audit::tile::Row;
use crate::audit::tile::TileError;
use crate::audit::tile::TilePath;
use crate::audit::tile::WIDTH;
use crate::audit::tile::read_hashes;
use crate::compute::digests::{Job, Operation};
use crate::ids::Digest;
use crate::logfiles::disk::DiskError;
use crate::logfiles::disk::LogDir;
use crate::messages::auditor::SignedHead;
use crate::messages::auditor::VerifierKey;
use crate::messages::compute::{Compute, PATIENCE};
use crate::messages::port::AskError;
use crate::messages::port::Port;
use crate::messages::signer::GetLogKey;
use crate::messages::signer::SignDigest;
use crate::messages::store::CountEntries;
use crate::messages::store::LoadEntries;
use crate::toolkit::causes::with_causes;
use crate::workflow::record::StoredEntry;

/// Entries taken in one go.
const BATCH: u64 = 4096;
/// Entries of a kilobyte or less are hashed here in less time than it takes to hand them to the pool and back.
const MANY: usize = 64;
/// From one head to the next while there is news all the time; the first news after a silence is sealed at once.
const BETWEEN_HEADS: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// News of a commit can be lost when the auditor is not there to hear it.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Sealer {
    pub origin: String,
    pub log: LogDir,
    pub key: Port<GetLogKey>,
    pub sign: Port<SignDigest>,
    pub count: Port<CountEntries>,
    pub load: Port<LoadEntries>,
    pub compute: Port<Compute>,
    pub view: watch::Sender<View>,
    /// Entries that the database is known to have.
    pub committed: watch::Receiver<u64>,
}

/// The log, open for growth.
struct Open {
    key: NoteKey,
    growth: Growth,
    sealed: u64,
    /// Tiles that became full since the last head.
    filled: Vec<TilePath>,
    known: u64,
}

/// Why there may be more to do.
#[derive(PartialEq, Eq)]
enum News {
    /// More was known already.
    Backlog,
    Fresh,
}

enum Trouble {
    Later(String),
    Never(String),
}

fn later(error: &dyn std::error::Error) -> Trouble {
    Trouble::Later(with_causes(error))
}

fn asked<T, E: std::error::Error>(answer: Result<Result<T, E>, AskError>) -> Result<T, Trouble> {
    answer.map_err(|error| later(&error))?.map_err(|error| later(&error))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Trouble> + Send + 'static) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|error| later(&error))?
}

impl Sealer {
    /// Works until disk and database contradict each other; answers how.
    pub async fn run(mut self) -> String {
        let mut pause = FIRST_PAUSE;
        let mut open = loop {
            match self.open().await {
                Ok(open) => break open,
                Err(Trouble::Later(reason)) => self.wait(reason, &mut pause).await,
                Err(Trouble::Never(reason)) => return self.refuse(reason),
            }
        };
        loop {
            let apart = tokio::time::sleep(BETWEEN_HEADS);
            match self.round(&mut open).await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.view.send_if_modified(|view| {
                        let changed = view.state != State::Serving;
                        view.state = State::Serving;
                        changed
                    });
                    if self.news(&mut open).await == News::Fresh {
                        apart.await;
                    }
                }
                Err(Trouble::Later(reason)) => self.wait(reason, &mut pause).await,
                Err(Trouble::Never(reason)) => return self.refuse(reason),
            }
        }
    }

    async fn wait(&self, reason: String, pause: &mut Duration) {
        // At the start everybody waits for somebody; only what lasts is worth a warning.
        if *pause < LONGEST_PAUSE {
            tracing::debug!(%reason, "the audit log waits: {reason}");
        } else {
            tracing::warn!(%reason, "the audit log waits: {reason}");
        }
        self.view.send_modify(|view| view.state = State::Waiting(reason));
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }

    fn refuse(&self, reason: String) -> String {
        self.view.send_modify(|view| view.state = State::Refused(reason.clone()));
        reason
    }

    /// Takes up the log where it is and makes sure that it is ours and that the database continues it.
    async fn open(&mut self) -> Result<Open, Trouble> {
        let log = self.log.clone();
        let (note, growth) = blocking(move || take_up(&log)).await?;
        // Known at once, so that a recorder without TPM or database knows where the database may have more.
        self.view.send_modify(|view| view.size = growth.size());
        let spki = asked(self.key.ask(GetLogKey).await)?.spki;
        let key = NoteKey::new(&self.origin, &spki).map_err(|error| later(&error))?;
        if let Some(note) = &note {
            key.open(note).map_err(|error| {
                Trouble::Never(format!(
                    "the head on disk is not signed by this TPM's log key ({error}): bring back the TPM (or the \
                     emulator's state) that signed it, or move the log directory aside to begin a new log"
                ))
            })?;
        }
        let pem = key.pem().map_err(|error| later(&error))?;
        let (log, written) = (self.log.clone(), key.clone());
        blocking(move || log.write_key(&written).map_err(|error| later(&error))).await?;
        let (size, root) = (growth.size(), growth.root());
        let vkey = VerifierKey { vkey: key.vkey(), pem };
        let known = asked(self.count.ask(CountEntries).await)?;
        if known < size {
            return Err(Trouble::Never(format!(
                "the log on disk has {size} signed entries, the database only {known}: it was set back or replaced; \
                 restore it, or move the log directory aside to begin a new log"
            )));
        }
        self.compare_newest(size).await?;
        self.view.send_modify(|view| {
            view.key = Some(vkey);
            view.head = note.map(|note| SignedHead { size, root, note });
        });
        Ok(Open { key, growth, sealed: size, filled: Vec::new(), known })
    }

    /// Compares the newest tile of the log with what the database says of the same entries.
    async fn compare_newest(&self, size: u64) -> Result<(), Trouble> {
        let Some(tile) = size.checked_sub(1).and_then(|last| TilePath::holding(Row::Level(0), last, size)) else {
            return Ok(());
        };
        let log = self.log.clone();
        let hashes = blocking(move || read_hashes(&log, tile).map_err(|error| unreadable(&error))).await?;
        let from = tile.index * WIDTH;
        let entries = asked(self.load.ask(LoadEntries { from, to: size }).await)?;
        for (at, hash) in hashes.iter().enumerate() {
            let index = from + at as u64;
            let there = entries.get(at).filter(|entry| entry.index == index);
            if there.is_none_or(|entry| hash_leaf(&entry.leaf) != *hash) {
                return Err(Trouble::Never(format!(
                    "entry {index} in the database is not the one in the signed log: it was changed after it was \
                     signed, or the database belongs to another log"
                )));
            }
        }
        Ok(())
    }

    /// Adds what is new, and signs if the head does not cover all.
    async fn round(&mut self, open: &mut Open) -> Result<(), Trouble> {
        open.known = open.known.max(*self.committed.borrow_and_update());
        let size = open.growth.size();
        if open.known > size {
            let to = open.known.min(size + BATCH);
            let entries = asked(self.load.ask(LoadEntries { from: size, to }).await)?;
            self.add(open, entries).await?;
        }
        if open.growth.size() > open.sealed {
            self.seal(open).await?;
        }
        Ok(())
    }

    async fn add(&self, open: &mut Open, entries: Vec<StoredEntry>) -> Result<(), Trouble> {
        if entries.is_empty() {
            return Err(Trouble::Later("the database does not show the entries that were committed".to_owned()));
        }
        let stored: Vec<(u64, Digest)> = entries.iter().map(|entry| (entry.index, entry.leaf_hash)).collect();
        let leaves = entries.into_iter().map(|entry| entry.leaf).collect();
        let (job, hashes) = self.leaf_hashes(leaves).await;
        for (((at, expected), hash), index) in stored.iter().zip(&hashes).zip(open.growth.size()..) {
            if *at != index || hash != expected {
                return Err(Trouble::Never(format!(
                    "entry {index} in the database is missing or does not fit its own hash: it was changed"
                )));
            }
        }
        let (log, mut growth) = (self.log.clone(), open.growth.clone());
        let (growth, filled) = blocking(move || {
            let files =
                growth.append_hashed(&job.messages, &hashes).map_err(|error| Trouble::Never(with_causes(&error)))?;
            log.add(&files).map_err(|error| match error {
                DiskError::Differs { .. } => Trouble::Never(with_causes(&error)),
                DiskError::Write { .. } | DiskError::Key(_) => later(&error),
            })?;
            Ok((growth, files.into_iter().map(|file| file.path).filter(TilePath::is_full).collect::<Vec<_>>()))
        })
        .await?;
        open.growth = growth;
        open.filled.extend(filled);
        self.view.send_modify(|view| view.size = open.growth.size());
        Ok(())
    }

    /// By the worker pool if there are many; the log does not depend on the pool.
    async fn leaf_hashes(&self, leaves: Vec<Vec<u8>>) -> (Arc<Job>, Vec<Digest>) {
        let job = Arc::new(Job::new(Operation::MerkleLeaf, leaves));
        if job.messages.len() >= MANY
            && let Ok(Ok(hashes)) = self.compute.ask_within(Compute(Arc::clone(&job)), PATIENCE).await
        {
            return (job, hashes);
        }
        let hashes = job.digests();
        (job, hashes)
    }

    async fn seal(&self, open: &mut Open) -> Result<(), Trouble> {
        let (size, root) = (open.growth.size(), open.growth.root());
        let text = Checkpoint { origin: self.origin.clone(), size, root }.text();
        let digest = Digest(Sha256::digest(&text).into());
        let signed = asked(self.sign.ask(SignDigest(digest)).await)?;
        if !open.key.accepts(&text, &signed.signature) {
            return Err(Trouble::Later("the TPM now signs with another key than when the log was opened".to_owned()));
        }
        let note = open.key.note(&text, &signed.signature);
        let (log, published, filled) = (self.log.clone(), note.clone(), std::mem::take(&mut open.filled));
        blocking(move || {
            log.publish(&published).map_err(|error| later(&error))?;
            if let Err(error) = log.drop_partials(&filled) {
                tracing::warn!(%error, "partial tiles that nobody needs any more stay on disk");
            }
            Ok(())
        })
        .await?;
        open.sealed = size;
        self.view.send_modify(|view| view.head = Some(SignedHead { size, root, note }));
        Ok(())
    }

    /// Waits until there may be more to do.
    async fn news(&mut self, open: &mut Open) -> News {
        if open.growth.size() < open.known || open.sealed < open.growth.size() {
            return News::Backlog;
        }
        match tokio::time::timeout(LOOK_AGAIN, self.committed.changed()).await {
            Ok(Ok(())) => {}
            // The actor is going, and this task with it.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => {
                if let Ok(Ok(count)) = self.count.ask(CountEntries).await {
                    open.known = open.known.max(count);
                }
            }
        }
        News::Fresh
    }
}

/// The head on disk and the right edge of the tree it is about.
fn take_up(log: &LogDir) -> Result<(Option<String>, Growth), Trouble> {
    let never = |detail: String| Trouble::Never(format!("the log on disk is damaged: {detail}"));
    let Some(bytes) = log.read("checkpoint").map_err(|error| later(&error))? else {
        return Ok((None, Growth::default()));
    };
    let note = String::from_utf8(bytes).map_err(|_| never("`checkpoint` is not a text".to_owned()))?;
    let text = crate::audit::note::text_of(&note).map_err(|error| never(error.to_string()))?;
    let head = Checkpoint::parse(text).map_err(|error| never(error.to_string()))?;
    let growth = Growth::load(log, head.size).map_err(|error| unreadable(&error))?;
    if growth.root() != head.root {
        return Err(never("its tiles make another root than `checkpoint` says".to_owned()));
    }
    Ok((Some(note), growth))
}

fn unreadable(error: &TileError) -> Trouble {
    match error {
        TileError::Source(_) => later(error),
        _ => Trouble::Never(format!("the log on disk is damaged: {}", with_causes(error))),
    }
}
