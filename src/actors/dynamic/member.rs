//! One child of a dynamic supervisor: a worker that it starts and ends, or a guest that is only told to go.
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::actors::child::ChildSpec;
use crate::actors::entry::Entry;
use crate::actors::life::Exit;
use crate::actors::life::Line;
use crate::actors::life::News;
use crate::actors::life::Note;
use crate::actors::seats::Seat;
use crate::messages::guests::Adopt;
use crate::messages::guests::Stay;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;

/// For a guest to go once it was told to.
const GUEST_GRACE: Duration = Duration::from_secs(3);

pub(super) enum Member {
    Worker(Box<Worker>),
    Guest(Guest),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not alive; to be started at this time.
    Due(Instant),
    /// Alive, not ready for requests.
    Starting,
    Up,
    /// Alive, and told to stop; `again`: to be started anew.
    Leaving {
        again: bool,
    },
}

pub(super) struct Worker {
    pub entry: Entry,
    pub spec: ChildSpec,
    pub stage: Stage,
}

pub(super) struct Guest {
    name: String,
    pub path: String,
    label: String,
    go: Option<oneshot::Sender<()>>,
    /// When it counts as left behind, once it was told to go.
    gone_by: Option<Instant>,
}

/// What a watchdog finds.
pub(super) enum Finding {
    /// It holds its thread.
    Stalled(String),
    /// Its thread was given up because another child holds it.
    Deserted,
    /// Its thread is held by something that nobody watches any more.
    NotBegun(String),
}

impl Member {
    pub fn name(&self) -> &str {
        match self {
            Member::Worker(worker) => &worker.entry.name,
            Member::Guest(guest) => &guest.name,
        }
    }

    /// The next moment at which a clock of it runs out.
    pub fn next_clock(&self) -> Option<Instant> {
        match self {
            Member::Worker(worker) => match worker.stage {
                Stage::Due(at) => Some(at),
                Stage::Starting | Stage::Up | Stage::Leaving { .. } => worker.entry.next_clock(),
            },
            Member::Guest(guest) => guest.gone_by,
        }
    }

    /// Whether news of this life are news of the present one.
    pub fn is_in_life(&self, epoch: u64) -> bool {
        match self {
            Member::Worker(worker) => worker.entry.is_in_life(epoch),
            Member::Guest(_) => true,
        }
    }

    pub fn node(&self, now: Instant) -> Node {
        match self {
            Member::Worker(worker) => worker.entry.node(NodeKind::Worker, now),
            Member::Guest(guest) => guest.node(),
        }
    }
}

impl Worker {
    pub fn look(&self) -> Option<Finding> {
        self.entry.life.as_ref()?;
        let deserted = || (self.entry.generation != self.entry.home_generation()).then_some(Finding::Deserted);
        let not_begun = || self.entry.not_begun(self.spec.stall).map(Finding::NotBegun);
        self.entry.stalled(self.spec.stall).map(Finding::Stalled).or_else(deserted).or_else(not_begun)
    }
}

impl Guest {
    /// A guest with this number, and what it holds as long as it stays.
    pub fn take_in(number: usize, adopt: Adopt, above: &str, line: &Line, seat: Seat) -> (Self, Stay) {
        let name = format!("{}-{number}", adopt.kind);
        let (tell, go) = oneshot::channel();
        let end = GuestEnd { number, line: line.clone(), seat: Some(seat) };
        let stay = Stay::new(name.clone(), go, Box::new(end));
        let path = format!("{above}/{name}");
        (Guest { name, path, label: adopt.label, go: Some(tell), gone_by: None }, stay)
    }

    /// Tells it to go, by this time at the latest if one is given.
    pub fn send_away(&mut self, by: Option<Instant>, now: Instant) {
        if let Some(go) = self.go.take() {
            if go.send(()).is_err() {
                tracing::trace!("{} does not listen any more: it is going", self.path);
            }
            let own = now + GUEST_GRACE;
            self.gone_by = Some(by.map_or(own, |by| by.min(own)));
        }
    }

    fn node(&self) -> Node {
        let state = if self.go.is_some() { ChildState::Up } else { ChildState::Down };
        Node { label: Some(self.label.clone()), ..Node::new(self.name.clone(), NodeKind::Guest, state) }
    }
}

/// Reports the end of a guest, whatever ends it.
struct GuestEnd {
    number: usize,
    line: Line,
    seat: Option<Seat>,
}

impl Drop for GuestEnd {
    fn drop(&mut self) {
        // before anybody hears of the end, and may want the seat
        self.seat = None;
        let exit = match std::thread::panicking() {
            true => Exit::Panicked("what carried it panicked".to_owned()),
            false => Exit::Stopped,
        };
        if self.line.send(News { index: self.number, epoch: 1, note: Note::Exited(exit) }).is_err() {
            tracing::debug!("the supervisor of guest {} has ended", self.number);
        }
    }
}

/// A worker that is not alive yet.
pub(super) fn worker(mut entry: Entry, spec: ChildSpec, seat: Seat) -> Box<Worker> {
    entry.seat = Some(Arc::new(seat));
    Box::new(Worker { entry, spec, stage: Stage::Starting })
}
