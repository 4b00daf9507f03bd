//! What a message travels in: with it go its place in the queue and, if it is one, its number as a probe.
//!
//! On the child's side the envelope times the handler, relays the reply and tells the supervisor how it went, so
//! that handlers stay plain `impl Handler<M>`.
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::{Envelope, EnvelopeProxy, MessageResponse, ToEnvelope};
use actix::{Actor, Handler, Message};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::actors::context::Ctx;
use crate::actors::drill::Ordeal;
use crate::actors::life::CallReport;
use crate::actors::life::Life;
use crate::actors::life::Note;
use crate::actors::life::Permit;
use crate::clock;
use crate::messages::outcome::Class;
use crate::messages::outcome::Outcome;

/// What an admitted message has with it.
pub(super) struct Cargo {
    permit: Permit,
    probe: Option<ProbePass>,
}

impl Cargo {
    pub fn new(permit: Permit, probe: Option<ProbePass>) -> Self {
        Cargo { permit, probe }
    }
}

/// Makes a message the probe. Dropped unused, it lets the next caller probe.
pub(super) struct ProbePass {
    life: Arc<Life>,
    number: u64,
    used: bool,
}

impl ProbePass {
    pub fn new(life: Arc<Life>, number: u64) -> Self {
        ProbePass { life, number, used: false }
    }

    fn take_up(mut self) -> u64 {
        self.used = true;
        self.number
    }
}

impl Drop for ProbePass {
    fn drop(&mut self) {
        if !self.used {
            let probe = Some(self.number);
            self.life.tell(Note::Call(CallReport { successes_before: 0, class: Class::Ignored, slow: false, probe }));
        }
    }
}

/// Whether a message is on its way; false: the mailbox had closed.
pub(super) type Packed = bool;

thread_local! {
    /// What the message that is being sent on this thread takes with it: actix packs in the middle of `send`.
    static CARGO: RefCell<Option<Cargo>> = const { RefCell::new(None) };
}

/// Runs `send`, which packs one message; the message takes `cargo` along. A message that was not packed, because the
/// mailbox has closed, leaves it behind, and it is freed. Answers whether the message was packed, too.
pub(super) fn loaded<T>(cargo: Cargo, send: impl FnOnce() -> T) -> (T, Packed) {
    CARGO.with(|place| place.replace(Some(cargo)));
    let sent = send();
    let left = CARGO.with(RefCell::take);
    (sent, left.is_none())
}

struct Env<M: Message> {
    message: Option<M>,
    reply: Option<oneshot::Sender<M::Result>>,
    /// None for what an actor sends to itself.
    cargo: Option<Cargo>,
}

impl<A, M> ToEnvelope<A, M> for Ctx<A>
where
    A: Actor<Context = Ctx<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send + Outcome,
{
    fn pack(message: M, reply: Option<oneshot::Sender<M::Result>>) -> Envelope<A> {
        let cargo = CARGO.with(RefCell::take);
        Envelope::with_proxy(Box::new(Env { message: Some(message), reply, cargo }))
    }
}

impl<A, M> EnvelopeProxy<A> for Env<M>
where
    A: Actor<Context = Ctx<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send + Outcome,
{
    fn handle(&mut self, actor: &mut A, ctx: &mut Ctx<A>) {
        ctx.spend();
        let (cargo, reply) = (self.cargo.take(), self.reply.take());
        if reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
            return; // the caller has gone: not worth doing
        }
        let Some(message) = self.message.take() else { return };
        // neither looks nor what an actor says to itself take part in a drill
        if ctx.is_drilled()
            && M::Result::CLASS != Class::Ignored
            && cargo.is_some()
            && let Some(ordeal) = ctx.next_ordeal()
        {
            return suffer(ordeal, message, cargo, reply, actor, ctx);
        }
        let ticket = Ticket::new(Arc::clone(ctx.life()), cargo);
        let (answer, mut answered) = oneshot::channel();
        MessageResponse::<A, M>::handle(<A as Handler<M>>::handle(actor, message, ctx), ctx, Some(answer));
        match answered.try_recv() {
            Ok(result) => {
                let slow = ticket.began_ms + ticket.slow_ms() <= clock::coarse_ms();
                relay(ticket, result, slow, reply);
            }
            Err(TryRecvError::Closed) => drop(ticket),
            Err(TryRecvError::Empty) => {
                actix_rt::spawn(relay_later(ticket, answered, reply, Duration::ZERO));
            }
        }
    }
}

/// A request that an exercise spoils.
#[cold]
fn suffer<A, M>(
    ordeal: Ordeal,
    message: M,
    cargo: Option<Cargo>,
    reply: Option<oneshot::Sender<M::Result>>,
    actor: &mut A,
    ctx: &mut Ctx<A>,
) where
    A: Actor<Context = Ctx<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send + Outcome,
{
    let ticket = Ticket::new(Arc::clone(ctx.life()), cargo);
    match ordeal {
        Ordeal::Fail => match M::Result::drilled() {
            Some(failure) => relay(ticket, failure, false, reply),
            // without a reply it counts as failed, and the caller sees its request as lost
            None => drop(ticket),
        },
        Ordeal::Slow(by) => {
            let (answer, answered) = oneshot::channel();
            MessageResponse::<A, M>::handle(<A as Handler<M>>::handle(actor, message, ctx), ctx, Some(answer));
            actix_rt::spawn(relay_later(ticket, answered, reply, by));
        }
    }
}

async fn relay_later<R: Outcome>(
    ticket: Ticket,
    answered: oneshot::Receiver<R>,
    reply: Option<oneshot::Sender<R>>,
    held_back: Duration,
) {
    let began = clock::now();
    let answered = async {
        let answered = answered.await;
        if !held_back.is_zero() {
            tokio::time::sleep(held_back).await;
        }
        answered
    };
    let answered = match ticket.life.limits.deadline {
        None => answered.await,
        Some(deadline) => match tokio::time::timeout(deadline, answered).await {
            Ok(answered) => answered,
            Err(_) => return ticket.hung(),
        },
    };
    let slow = clock::now().saturating_duration_since(began) >= ticket.life.limits.slow;
    match answered {
        Ok(result) => relay(ticket, result, slow, reply),
        Err(_) => drop(ticket),
    }
}

fn relay<R: Outcome>(ticket: Ticket, result: R, slow: bool, reply: Option<oneshot::Sender<R>>) {
    ticket.done(result.class(), slow);
    if let Some(reply) = reply {
        // an error here means that the caller did not wait for it
        drop(reply.send(result));
    }
}

/// One request while it is worked on. Dropped without a result, it counts as failed.
struct Ticket {
    life: Arc<Life>,
    began_ms: u64,
    probe: Option<u64>,
    open: bool,
    _permit: Option<Permit>,
}

impl Ticket {
    fn new(life: Arc<Life>, cargo: Option<Cargo>) -> Self {
        let (permit, pass) = cargo.map(|cargo| (cargo.permit, cargo.probe)).unzip();
        let probe = pass.flatten().map(ProbePass::take_up);
        Ticket { life, began_ms: clock::coarse_ms(), probe, open: true, _permit: permit }
    }

    /// For how long a handler may hold the thread and not count as slow.
    fn slow_ms(&self) -> u64 {
        u64::try_from(self.life.limits.slow.as_millis()).map_or(u64::MAX / 2, |ms| ms.min(u64::MAX / 2))
    }

    fn done(mut self, class: Class, slow: bool) {
        self.open = false;
        self.report(class, slow);
    }

    fn hung(mut self) {
        self.open = false;
        self.life.tell(Note::Hung);
    }

    fn report(&self, class: Class, slow: bool) {
        if self.probe.is_none() {
            match class {
                Class::Ok if !slow => return self.life.count_success(),
                Class::Ignored => return,
                Class::Ok | Class::Failed => {}
            }
        }
        let successes_before = self.life.take_successes();
        self.life.tell(Note::Call(CallReport { successes_before, class, slow, probe: self.probe }));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // a panic ends the child, which the supervisor hears of anyway
        if self.open && !std::thread::panicking() {
            self.report(Class::Failed, false);
        }
    }
}
