//! A slot: the name of a child, behind which its lives come and go. Callers hold a `Ref`, which never changes.
//!
//! The supervisor alone moves the gate: open, open for one probe, or shut until a time. An open circuit breaker is
//! nothing but a shut gate. Callers take no decision; they are admitted or told at once why not.
use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, MailboxError, Message};
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use crate::actors::context::Ctx;
use crate::actors::envelope::Cargo;
use crate::actors::envelope::Packed;
use crate::actors::envelope::ProbePass;
use crate::actors::envelope::loaded;
use crate::actors::incarnation::Word;
use crate::actors::life::Life;
use crate::actors::life::Permit;
use crate::clock;
use crate::messages::outcome::Outcome;
use crate::messages::port::AskError;
use crate::messages::port::Door;
use crate::messages::port::Port;
use crate::messages::port::Reply;
use crate::messages::supervision::ChildState;
use crate::resilience::admission::Priority;

/// What a refused caller is told to wait when nobody knows how long it takes.
const SOON: Duration = Duration::from_millis(500);

/// The address of one life.
pub(super) struct Present<A: Actor> {
    pub addr: Addr<A>,
    pub words: mpsc::UnboundedSender<Word<A>>,
    pub life: Arc<Life>,
}

/// The one token of a half-open breaker.
pub(super) struct Probe {
    number: u64,
    /// Age of the life in microseconds when it was taken; 0 while it is free.
    taken: AtomicU64,
}

impl Probe {
    pub fn new(number: u64) -> Arc<Self> {
        Arc::new(Probe { number, taken: AtomicU64::new(0) })
    }

    fn take(&self, life: &Arc<Life>) -> Option<ProbePass> {
        let free = self.taken.compare_exchange(0, life.age_us(), Ordering::AcqRel, Ordering::Acquire).is_ok();
        free.then(|| ProbePass::new(Arc::clone(life), self.number))
    }

    /// For how long it has been out.
    pub fn out_for(&self, life: &Life) -> Option<Duration> {
        match self.taken.load(Ordering::Acquire) {
            0 => None,
            then => Some(Duration::from_micros(life.age_us().saturating_sub(then))),
        }
    }
}

/// Whether, and how, callers get through.
pub(super) enum Gate<A: Actor> {
    Open(Present<A>),
    Probe(Present<A>, Arc<Probe>),
    Shut { until: Option<Instant>, state: ChildState, reason: Cow<'static, str> },
}

pub(super) struct Slot<A: Actor> {
    gate: RwLock<Gate<A>>,
    epoch: AtomicU64,
}

impl<A: Actor> Slot<A> {
    pub fn new() -> Arc<Self> {
        let gate = Gate::Shut { until: None, state: ChildState::Starting, reason: "not started yet".into() };
        Arc::new(Slot { gate: RwLock::new(gate), epoch: AtomicU64::new(0) })
    }

    pub fn publish(&self, gate: Gate<A>) {
        // the old gate may hold the last address of a life, whose mailbox then empties: not under the lock
        let old = std::mem::replace(&mut *self.gate.write(), gate);
        drop(old);
    }

    /// The number of the next life. Lives are counted here, and not by the supervisor, which may itself be restarted.
    pub fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Shuts the gate if it leads to this life.
    pub fn withdraw(&self, life: &Arc<Life>, reason: &'static str) {
        let leads_there = |gate: &Gate<A>| match gate {
            Gate::Open(present) | Gate::Probe(present, _) => Arc::ptr_eq(&present.life, life),
            Gate::Shut { .. } => false,
        };
        let old = {
            let mut gate = self.gate.write();
            let shut = Gate::Shut { until: None, state: ChildState::Down, reason: reason.into() };
            leads_there(&gate).then(|| std::mem::replace(&mut *gate, shut))
        };
        drop(old);
    }

    pub fn probe_out_for(&self) -> Option<Duration> {
        match &*self.gate.read() {
            Gate::Probe(present, probe) => probe.out_for(&present.life),
            _ => None,
        }
    }

    /// Sends what is admitted, with its permit. The gate cannot move meanwhile, so that no address need be copied.
    fn enter<T>(&self, priority: Priority, send: impl FnOnce(&Present<A>) -> T) -> Result<(T, Packed), AskError> {
        match &*self.gate.read() {
            Gate::Open(present) => {
                let cargo = Cargo::new(admit(present, priority)?, None);
                Ok(loaded(cargo, || send(present)))
            }
            Gate::Probe(present, probe) => {
                let permit = admit(present, priority)?;
                let taken = || refuse(SOON, "half-open: another request is the probe".into());
                let pass = probe.take(&present.life).ok_or_else(taken)?;
                Ok(loaded(Cargo::new(permit, Some(pass)), || send(present)))
            }
            Gate::Shut { until, reason, .. } => {
                let left = until.map(|until| until.saturating_duration_since(clock::now()));
                Err(refuse(left.filter(|left| !left.is_zero()).unwrap_or(SOON), reason.clone()))
            }
        }
    }
}

fn admit<A: Actor>(present: &Present<A>, priority: Priority) -> Result<Permit, AskError> {
    present.life.admit(priority).ok_or(AskError::Overloaded)
}

fn refuse(retry_after: Duration, reason: Cow<'static, str>) -> AskError {
    AskError::Unavailable { retry_after, reason }
}

/// A child by name: stable for ever, over all its lives.
pub struct Ref<A: Actor>(pub(super) Arc<Slot<A>>);

impl<A: Actor> Clone for Ref<A> {
    fn clone(&self) -> Self {
        Ref(Arc::clone(&self.0))
    }
}

impl<A: Actor<Context = Ctx<A>>> Ref<A> {
    /// The door for one kind of message.
    pub fn port<M>(&self) -> Port<M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send + Outcome + 'static,
    {
        self.port_for(Priority::Normal)
    }

    /// The door for one kind of message, and for requests of this urgency.
    pub fn port_for<M>(&self, priority: Priority) -> Port<M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send + Outcome + 'static,
    {
        Port::new(Arc::new(self.entrance(priority)))
    }

    fn entrance(&self, priority: Priority) -> Entrance<A> {
        Entrance { slot: Arc::clone(&self.0), priority }
    }

    /// For one who sends the request now and waits for its reply later.
    pub(super) fn door<M>(&self, priority: Priority) -> impl Door<M> + use<A, M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send + Outcome + 'static,
    {
        self.entrance(priority)
    }

    pub fn state(&self) -> ChildState {
        match &*self.0.gate.read() {
            Gate::Open(_) => ChildState::Up,
            Gate::Probe(..) => ChildState::HalfOpen,
            Gate::Shut { state, .. } => *state,
        }
    }

    /// How often the child was started.
    pub fn epoch(&self) -> u64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// Requests admitted and not yet answered, of the present life.
    pub fn queue(&self) -> usize {
        match &*self.0.gate.read() {
            Gate::Open(present) | Gate::Probe(present, _) => present.life.queue(),
            Gate::Shut { .. } => 0,
        }
    }
}

/// The way in for requests of one urgency.
struct Entrance<A: Actor> {
    slot: Arc<Slot<A>>,
    priority: Priority,
}

impl<A, M> Door<M> for Entrance<A>
where
    A: Actor<Context = Ctx<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send + Outcome + 'static,
{
    fn ask(&self, message: M, within: Duration) -> Reply<M> {
        if self.priority == Priority::System {
            return self.ask_urgently(message, within);
        }
        let request = self.slot.enter(self.priority, |present| present.addr.send(message));
        Box::pin(async move {
            let mut request = pin!(request?.0);
            let reply = match at_once(request.as_mut()).await {
                Some(reply) => reply,
                // apart, so that the future of those that need no timer stays small
                None => match Box::pin(tokio::time::timeout(within, request)).await {
                    Ok(reply) => reply,
                    Err(_) => return Err(AskError::Timeout),
                },
            };
            reply.map_err(|error| match error {
                MailboxError::Closed => AskError::Lost,
                MailboxError::Timeout => AskError::Timeout,
            })
        })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the admitted way: the message carries its permit")]
    fn try_tell(&self, message: M) -> Result<(), AskError> {
        let (sent, packed) = self.slot.enter(self.priority, |present| match self.priority {
            Priority::System => overtake(present, message, None),
            _ => {
                present.addr.do_send(message);
                true
            }
        })?;
        // A life may have ended already, and its supervisor not yet have shut the gate.
        if sent && packed { Ok(()) } else { Err(refuse(SOON, "it has just ended".into())) }
    }
}

impl<A: Actor<Context = Ctx<A>>> Entrance<A> {
    fn ask_urgently<M>(&self, message: M, within: Duration) -> Reply<M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send + Outcome + 'static,
    {
        let (reply, answered) = oneshot::channel();
        let sent = self.slot.enter(self.priority, |present| overtake(present, message, Some(reply)));
        Box::pin(async move {
            // what could not be sent has dropped its reply
            sent?;
            match tokio::time::timeout(within, answered).await {
                Ok(answered) => answered.map_err(|_| AskError::Lost),
                Err(_) => Err(AskError::Timeout),
            }
        })
    }
}

/// Sends a message on the way that comes before the mailbox. False: that life has ended.
fn overtake<A, M>(present: &Present<A>, message: M, reply: Option<oneshot::Sender<M::Result>>) -> bool
where
    A: Actor<Context = Ctx<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send + Outcome + 'static,
{
    present.words.send(Word::Urgent(Ctx::<A>::pack(message, reply))).is_ok()
}

/// The reply if it is there once the caller's thread has gone round: then those who wait for the processor have had
/// it, and most requests to a child on the same thread are answered. A timer costs more than such a request.
async fn at_once<F: Future>(mut request: Pin<&mut F>) -> Option<F::Output> {
    let mut gone_round = false;
    poll_fn(|cx| match (request.as_mut().poll(cx), gone_round) {
        (Poll::Ready(reply), _) => Poll::Ready(Some(reply)),
        (Poll::Pending, true) => Poll::Ready(None),
        (Poll::Pending, false) => {
            gone_round = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}
