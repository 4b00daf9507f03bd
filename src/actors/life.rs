//! One life of a child, from one start to its end: what both the child's side and its supervisor look at.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::actors::root::Tree;
use crate::clock;
use crate::messages::outcome::Class;
use crate::messages::supervision::{ChildState, Node, NodeKind};
use crate::resilience::admission::Priority;

/// Beside the time of birth: the thread has not begun with it.
const NOT_BEGUN: u64 = 1 << 63;

/// The way from a child to its supervisor.
pub(super) type Line = mpsc::UnboundedSender<News>;

/// What a supervisor hears of a child.
#[derive(Debug)]
pub(super) struct News {
    pub index: usize,
    pub epoch: u64,
    pub note: Note,
}

#[derive(Debug)]
pub(super) enum Note {
    /// Said exactly once per life, after everything else was torn down.
    Exited(Exit),
    Ready,
    Call(CallReport),
    /// A request was not answered within the deadline.
    Hung,
}

/// A request that the breaker must know of; quick successes before it were only counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallReport {
    pub successes_before: u32,
    pub class: Class,
    pub slow: bool,
    /// The number of the probe, if it was one.
    pub probe: Option<u64>,
}

/// Why a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// By itself or because it was told to.
    Stopped,
    /// The actor said so (`Ctx::fail`).
    Failed(String),
    /// The same, and no restart would help.
    Hopeless(String),
    Panicked(String),
    Killed(String),
    /// The thread it lived on is gone, or its future was dropped.
    Dropped,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Stopped => f.write_str("stopped"),
            Exit::Failed(reason) | Exit::Hopeless(reason) => f.write_str(reason),
            Exit::Panicked(message) => write!(f, "panicked: {message}"),
            Exit::Killed(reason) => write!(f, "killed: {reason}"),
            Exit::Dropped => f.write_str("its thread ended"),
        }
    }
}

/// What a life is made with.
pub(super) struct Limits {
    pub cap: usize,
    pub deadline: Option<Duration>,
    pub slow: Duration,
}

pub(super) struct Life {
    pub index: usize,
    pub epoch: u64,
    pub path: String,
    pub tree: Arc<Tree>,
    pub limits: Limits,
    line: Line,
    born: Instant,
    /// By the coarse clock; 0 while the child is not being polled. Before the first poll: since when it waits for that.
    polled_since: AtomicU64,
    fenced: AtomicBool,
    successes: AtomicU32,
    admitted: AtomicUsize,
}

impl Life {
    pub fn new(index: usize, epoch: u64, path: String, tree: Arc<Tree>, limits: Limits, line: Line) -> Self {
        Life {
            index,
            epoch,
            path,
            tree,
            limits,
            line,
            born: clock::now(),
            polled_since: AtomicU64::new(NOT_BEGUN | clock::coarse_ms()),
            fenced: AtomicBool::new(false),
            successes: AtomicU32::new(0),
            admitted: AtomicUsize::new(0),
        }
    }

    /// A supervisor in this life, without what it supervises.
    pub fn node_of_supervisor(&self, name: &str, closed: bool) -> Node {
        let home = &self.tree.supervisors;
        Node {
            epoch: self.epoch,
            restarts: self.epoch.saturating_sub(1),
            arbiter: Some(home.name().to_owned()),
            lost_threads: home.lost(),
            ..Node::new(name, NodeKind::Supervisor, if closed { ChildState::Down } else { ChildState::Up })
        }
    }

    pub fn tell(&self, note: Note) {
        let news = News { index: self.index, epoch: self.epoch, note };
        if let Err(unheard) = self.line.send(news) {
            tracing::debug!(path = %self.path, note = ?unheard.0.note, "the supervisor of {} has ended", self.path);
        }
    }

    /// Nothing that this life still does counts any more: it ends itself as soon as it can.
    pub fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
    }

    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    /// Microseconds of this life, never 0.
    pub fn age_us(&self) -> u64 {
        u64::try_from(clock::now().saturating_duration_since(self.born).as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    pub fn poll_begins(&self) {
        self.polled_since.store(clock::coarse_ms(), Ordering::Release);
    }

    pub fn poll_ends(&self) {
        self.polled_since.store(0, Ordering::Release);
    }

    /// For how long the child has held its thread.
    pub fn held_for(&self) -> Duration {
        match self.polled_since.load(Ordering::Acquire) {
            since if is_time(since) => Duration::from_millis(clock::coarse_ms().saturating_sub(since)),
            _ => Duration::ZERO,
        }
    }

    /// For how long the child has waited for its thread to begin with it, if it still does.
    pub fn waits_to_begin(&self) -> Option<Duration> {
        let since = self.polled_since.load(Ordering::Acquire);
        (since & NOT_BEGUN != 0).then(|| Duration::from_millis(clock::coarse_ms().saturating_sub(since ^ NOT_BEGUN)))
    }

    /// Whether it has its thread at this moment.
    pub fn is_at_work(&self) -> bool {
        is_time(self.polled_since.load(Ordering::Acquire))
    }

    pub fn count_success(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    pub fn take_successes(&self) -> u32 {
        self.successes.swap(0, Ordering::Relaxed)
    }

    /// Requests admitted and not yet done with.
    pub fn queue(&self) -> usize {
        self.admitted.load(Ordering::Acquire)
    }

    /// Admits one request, if there is room for one of its kind.
    pub fn admit(self: &Arc<Self>, priority: Priority) -> Option<Permit> {
        let bound = priority.bound(self.limits.cap);
        let more = |count| (count < bound).then_some(count + 1);
        let admitted = self.admitted.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        admitted.ok().map(|_| Permit(Arc::clone(self)))
    }
}

/// Whether the mark is that of a poll.
fn is_time(polled_since: u64) -> bool {
    polled_since != 0 && polled_since & NOT_BEGUN == 0
}

/// A place in the queue of one life. It travels with the request, so that a caller who loses patience does not free
/// a place that its message still takes.
pub(super) struct Permit(Arc<Life>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::AcqRel);
    }
}
