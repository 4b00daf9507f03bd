//! A slot: the name of a child, behind which its lives come and go. Callers hold a `Ref`, which never changes.
//!
//! The supervisor alone moves the gate: open, open for one probe, or shut until a time. An open circuit breaker is
//! nothing but a shut gate. Callers take no decision; they are admitted or told at once why not.
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Handler, MailboxError, Message};
use parking_lot::RwLock;

use crate::actors::context::Ctx;
use crate::actors::envelope::Cargo;
use crate::actors::envelope::ProbePass;
use crate::actors::envelope::loaded;
use crate::actors::life::Life;
use crate::actors::life::Permit;
use crate::clock;
use crate::messages::outcome::Outcome;
use crate::messages::port::AskError;
use crate::messages::port::Door;
use crate::messages::port::Port;
use crate::messages::port::Reply;
use crate::messages::supervision::ChildState;

/// What a refused caller is told to wait when nobody knows how long it takes.
const SOON: Duration = Duration::from_millis(500);

/// The address of one life.
pub(super) struct Present<A: Actor> {
    pub addr: Addr<A>,
    pub life: Arc<Life>,
}

impl<A: Actor> Clone for Present<A> {
    fn clone(&self) -> Self {
        Present { addr: self.addr.clone(), life: Arc::clone(&self.life) }
    }
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

    pub fn probe_out_for(&self) -> Option<Duration> {
        match &*self.gate.read() {
            Gate::Probe(present, probe) => probe.out_for(&present.life),
            _ => None,
        }
    }

    fn enter(&self) -> Result<(Addr<A>, Cargo), AskError> {
        match &*self.gate.read() {
            Gate::Open(present) => Ok((present.addr.clone(), Cargo::new(admit(present)?, None))),
            Gate::Probe(present, probe) => {
                let permit = admit(present)?;
                match probe.take(&present.life) {
                    Some(pass) => Ok((present.addr.clone(), Cargo::new(permit, Some(pass)))),
                    // by then the probe has answered, or is slow
                    None => Err(refuse(present.life.limits.slow, "half-open: another request is the probe".into())),
                }
            }
            Gate::Shut { until, reason, .. } => {
                let left = until.map(|until| until.saturating_duration_since(clock::now()));
                Err(refuse(left.filter(|left| !left.is_zero()).unwrap_or(SOON), reason.clone()))
            }
        }
    }
}

fn admit<A: Actor>(present: &Present<A>) -> Result<Permit, AskError> {
    present.life.admit().ok_or(AskError::Overloaded)
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
        Port::new(Arc::new(self.clone()))
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

impl<A, M> Door<M> for Ref<A>
where
    A: Actor<Context = Ctx<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send + Outcome + 'static,
{
    fn ask(&self, message: M, within: Duration) -> Reply<M> {
        let request = self.0.enter().map(|(addr, cargo)| loaded(cargo, || addr.send(message)).0);
        Box::pin(async move {
            match tokio::time::timeout(within, request?).await {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(MailboxError::Closed)) => Err(AskError::Lost),
                Ok(Err(MailboxError::Timeout)) | Err(_) => Err(AskError::Timeout),
            }
        })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the admitted way: the message carries its permit")]
    fn try_tell(&self, message: M) -> Result<(), AskError> {
        let (addr, cargo) = self.0.enter()?;
        let ((), packed) = loaded(cargo, || addr.do_send(message));
        // A life may have ended already, and its supervisor not yet have shut the gate.
        if packed { Ok(()) } else { Err(refuse(SOON, "it has just ended".into())) }
    }
}
