//! The way to a dynamic supervisor, over all its lives: a seat first, and then a child in it.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, Message};

use crate::actors::child::ChildOptions;
use crate::actors::child::ChildSpec;
use crate::actors::context::Ctx;
use crate::actors::dynamic::DynamicSpec;
use crate::actors::dynamic::DynamicSupervisor;
use crate::actors::home::HomeError;
use crate::actors::seats::Seat;
use crate::actors::seats::Seats;
use crate::actors::slot::Ref;
use crate::messages::guests::Adopt;
use crate::messages::guests::Stay;
use crate::messages::outcome::Class;
use crate::messages::outcome::ErrorClass;
use crate::messages::port::{AskError, Door, PATIENCE, Port, Reply};
use crate::resilience::admission::Priority;

/// Questions that may wait beside the children that are to be started; each of those has a seat already.
const QUESTIONS: usize = 64;
/// Before another try to start a child for which there was no thread.
const LATER: Duration = Duration::from_secs(1);

/// What outlives a life of the supervisor.
pub(super) struct Lasting {
    pub seats: Arc<Seats>,
    /// Counts the children: no number is used twice, so that late news cannot be taken for those of another child.
    next: AtomicUsize,
}

impl Lasting {
    pub fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A dynamic supervisor by name: starts children, and takes guests in.
#[derive(Clone)]
pub struct Dynamic {
    supervisor: Ref<DynamicSupervisor>,
    lasting: Arc<Lasting>,
}

/// A seat for a child that is not made yet.
pub struct Vacancy {
    supervisor: Ref<DynamicSupervisor>,
    seat: Seat,
}

/// A child with a seat, which nobody has started yet.
pub struct Unborn {
    supervisor: Ref<DynamicSupervisor>,
    order: StartChild,
}

/// Puts a child into a seat, and starts it.
#[derive(Message)]
#[rtype(result = "Result<(), NotStarted>")]
pub(super) struct StartChild {
    pub spec: ChildSpec,
    pub seat: Seat,
}

/// Gives a seat to a guest.
#[derive(Message)]
#[rtype(result = "Stay")]
pub(super) struct TakeIn {
    pub guest: Adopt,
    pub seat: Seat,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    #[error(transparent)]
    NoThread(#[from] HomeError),
    #[error("its supervisor is stopping")]
    Stopping,
}

impl ErrorClass for NotStarted {
    fn class(&self) -> Class {
        Class::Ignored
    }
}

impl Dynamic {
    /// The supervisor as a child of another, and the way to it.
    pub fn new(spec: DynamicSpec) -> (ChildSpec, Dynamic) {
        let lasting = Arc::new(Lasting { seats: Seats::new(spec.most), next: AtomicUsize::new(0) });
        let (name, cap) = (spec.name.clone(), spec.most.saturating_add(QUESTIONS));
        let (spec, kept) = (Arc::new(spec), Arc::clone(&lasting));
        let make = move || DynamicSupervisor::new(Arc::clone(&spec), Arc::clone(&kept));
        let (child, supervisor) = ChildSpec::supervising(name, cap, make);
        (child, Dynamic { supervisor, lasting })
    }

    /// `Overloaded`: there are as many children as may be.
    pub fn reserve(&self) -> Result<Vacancy, AskError> {
        let seat = self.lasting.seats.take().ok_or(AskError::Overloaded)?;
        Ok(Vacancy { supervisor: self.supervisor.clone(), seat })
    }

    /// A seat beyond those that there are: for a child that was promised, or was there, before.
    pub fn reserve_anyway(&self) -> Vacancy {
        Vacancy { supervisor: self.supervisor.clone(), seat: self.lasting.seats.squeeze_in() }
    }

    /// Counts the lives of the supervisor; the children of an earlier life have ended, or are about to.
    pub fn epoch(&self) -> u64 {
        self.supervisor.epoch()
    }

    /// How many children there are, and how many there may be.
    pub fn occupancy(&self) -> (usize, usize) {
        (self.lasting.seats.taken(), self.lasting.seats.most())
    }

    /// The door for guests.
    pub fn guests(&self) -> Port<Adopt> {
        Port::new(Arc::new(self.clone()))
    }
}

impl Vacancy {
    /// Makes the recipe of a child without a breaker: a temporary one is never started again, a transient one after
    /// a failure.
    pub fn fill<A>(
        self,
        name: impl Into<String>,
        options: ChildOptions,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> (Ref<A>, Unborn)
    where
        A: Actor<Context = Ctx<A>>,
    {
        let (spec, child) = ChildSpec::worker(name, ChildOptions { breaker: None, ..options }, make);
        (child, Unborn { supervisor: self.supervisor, order: StartChild { spec, seat: self.seat } })
    }
}

impl Unborn {
    /// Has somebody told why, should this child alone be given up.
    pub fn when_given_up(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.order.spec.given_up = Some(Box::new(tell));
        self
    }

    /// Has it started; the future says whether it was, and need not be waited for.
    pub fn start(self) -> impl Future<Output = Result<(), AskError>> + Send + 'static {
        let asked = self.supervisor.door(Priority::System).ask(self.order, PATIENCE);
        async move {
            asked.await?.map_err(|cause| AskError::Unavailable { retry_after: LATER, reason: cause.to_string().into() })
        }
    }
}

impl Door<Adopt> for Dynamic {
    fn ask(&self, guest: Adopt, within: Duration) -> Reply<Adopt> {
        match self.reserve() {
            Ok(Vacancy { supervisor, seat }) => supervisor.door(Priority::System).ask(TakeIn { guest, seat }, within),
            Err(full) => Box::pin(std::future::ready(Err(full))),
        }
    }

    /// A guest without its stay would be gone at once.
    fn try_tell(&self, _: Adopt) -> Result<(), AskError> {
        Err(AskError::Unavailable { retry_after: Duration::ZERO, reason: "a guest waits for its place".into() })
    }
}
