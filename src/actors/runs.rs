//! Who the open runs are: kept over all lives of the orchestrator, so that they go on without it.
//!
//! A run is listed from the moment it is admitted until its supervisor has let it go: what takes it off the list is
//! the end of its recipe.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};

use crate::actors::keys_in_flight::HeldKey;
use crate::actors::runner::Runner;
use crate::actors::slot::Ref;
use crate::ids::RunId;
use crate::messages::orchestrator::{Progress, StartError, StartRun};
use crate::workflow::advance::Trigger;
use crate::workflow::record::StoredRun;

/// How long the supervisor may take to let go of a run that has ended.
const LETTING_GO: Duration = Duration::from_secs(5);

#[derive(Clone, Default)]
pub struct Runs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: RwLock<HashMap<RunId, Listed>>,
    running_steps: AtomicUsize,
    next_token: AtomicU64,
    /// The life of the supervisor of the runs in which the journals were begun to be read. 0: none.
    reading_for: AtomicU64,
    recovered: Mutex<Option<Recovered>>,
    /// Runs whose changes could not be undone.
    in_need: Mutex<BTreeSet<RunId>>,
}

/// That the journal of the last start was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recovered {
    /// Which start of the node this is.
    pub epoch: i64,
    /// For which life of the supervisor of the runs.
    pub life: u64,
}

struct Listed {
    token: u64,
    life: u64,
    runner: Ref<Runner>,
    progress: watch::Receiver<Progress>,
}

/// How the first life of a run begins. Every later one reads the journal.
pub(super) enum Beginning {
    Accepted {
        order: StartRun,
        key: Option<HeldKey>,
        /// Who submitted it and waits for the first append.
        submitter: oneshot::Sender<Result<RunId, StartError>>,
    },
    Stored(Box<StoredRun>),
    /// Nobody carries it, since it ended or was given up, and somebody wishes something of it.
    Wished {
        trigger: Trigger,
        asker: oneshot::Sender<Result<bool, StartError>>,
    },
    /// Whatever the journal says.
    Unread,
}

/// What all lives of one run share.
pub(super) struct Berth {
    pub run: RunId,
    pub epoch: i64,
    /// Closed when the run is no longer open.
    pub progress: watch::Sender<Progress>,
    beginning: Mutex<Option<Beginning>>,
    token: u64,
    runs: Runs,
}

/// The share of one run in the steps that are worked on.
pub(super) struct Share {
    runs: Runs,
    mine: usize,
}

impl Runs {
    pub(super) fn recovered(&self) -> Option<Recovered> {
        *self.0.recovered.lock()
    }

    /// Whether the journals are read for the first time for this life of the supervisor: later, a run that is not open
    /// may have been, and have ended.
    pub(super) fn is_first_to_read_for(&self, life: u64) -> bool {
        self.0.reading_for.swap(life, Ordering::Relaxed) != life
    }

    pub(super) fn note_recovered(&self, recovered: Recovered) {
        *self.0.recovered.lock() = Some(recovered);
    }

    pub(super) fn berth(&self, run: RunId, epoch: i64, beginning: Beginning) -> Arc<Berth> {
        let token = self.0.next_token.fetch_add(1, Ordering::Relaxed);
        let (progress, beginning) = (watch::Sender::default(), Mutex::new(Some(beginning)));
        Arc::new(Berth { run, epoch, progress, beginning, token, runs: self.clone() })
    }

    /// Lists a run that this life of their supervisor is about to start.
    pub(super) fn list(&self, berth: &Berth, runner: Ref<Runner>, life: u64) {
        let listed = Listed { token: berth.token, life, runner, progress: berth.progress.subscribe() };
        self.0.open.write().insert(berth.run, listed);
    }

    /// Whether the run is a child of this life of their supervisor.
    pub(super) fn is_open(&self, run: RunId, life: u64) -> bool {
        self.0.open.read().get(&run).is_some_and(|listed| listed.life == life)
    }

    pub(super) fn runner(&self, run: RunId) -> Option<Ref<Runner>> {
        self.0.open.read().get(&run).map(|listed| listed.runner.clone())
    }

    pub(super) fn watch(&self, run: RunId) -> Option<watch::Receiver<Progress>> {
        self.0.open.read().get(&run).map(|listed| listed.progress.clone())
    }

    /// Waits until a run that has ended is off the list, which takes a moment. False: it has not ended.
    pub(super) async fn let_go_of_ended(&self, run: RunId) -> bool {
        let Some(mut progress) = self.watch(run) else { return true };
        if progress.borrow().ended.is_none() {
            return false;
        }
        let gone = async { while progress.changed().await.is_ok() {} };
        tokio::time::timeout(LETTING_GO, gone).await.is_ok()
    }

    pub(super) fn count(&self) -> usize {
        self.0.open.read().len()
    }

    pub(super) fn running_steps(&self) -> usize {
        self.0.running_steps.load(Ordering::Relaxed)
    }

    /// Whether a person has to look after the run.
    pub(super) fn note_need(&self, run: RunId, is_in_need: bool) {
        let mut in_need = self.0.in_need.lock();
        if is_in_need {
            in_need.insert(run)
        } else {
            in_need.remove(&run)
        };
    }

    pub(super) fn in_need(&self) -> usize {
        self.0.in_need.lock().len()
    }

    pub(super) fn share(&self) -> Share {
        Share { runs: self.clone(), mine: 0 }
    }
}

impl Berth {
    /// To the first who asks: how the run begins.
    pub fn take_beginning(&self) -> Beginning {
        self.beginning.lock().take().unwrap_or(Beginning::Unread)
    }

    pub fn note_need(&self, is_in_need: bool) {
        self.runs.note_need(self.run, is_in_need);
    }

    pub fn share(&self) -> Share {
        self.runs.share()
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        let mut open = self.runs.0.open.write();
        // The run may have been taken up anew meanwhile, by a later life of the supervisor.
        if open.get(&self.run).is_some_and(|listed| listed.token == self.token) {
            open.remove(&self.run);
        }
    }
}

impl Share {
    pub fn set(&mut self, steps: usize) {
        let all = &self.runs.0.running_steps;
        if steps > self.mine {
            all.fetch_add(steps - self.mine, Ordering::Relaxed);
        } else {
            all.fetch_sub(self.mine - steps, Ordering::Relaxed);
        }
        self.mine = steps;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}
