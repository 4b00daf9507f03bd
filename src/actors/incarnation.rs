//! The future that is one life of a child. It catches what unwinds out of the actor, obeys its supervisor before it
//! looks into the mailbox, and reports its end exactly once.
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix::dev::{ContextFut, Envelope, Mailbox};
use actix::{Actor, ActorContext};
use tokio::sync::mpsc;

use crate::actors::context::Ctx;
use crate::actors::life::Exit;
use crate::actors::life::Life;
use crate::actors::life::Note;
use crate::actors::seats::Seat;
use crate::messages::supervision::Fault;

/// What a supervisor says to a life.
#[derive(Debug)]
pub(super) enum Order {
    /// End in good order, before this time if one is given.
    Stop(Option<Instant>),
    /// End at once, for this reason.
    Kill(String),
    /// Suffer a fault, as an exercise.
    Inject(Fault),
}

/// What reaches a life beside its mailbox, and before it.
pub(super) enum Word<A: Actor> {
    Order(Order),
    Urgent(Envelope<A>),
}

/// Reports the end of a life, whatever ends it: also if the thread, the future or the closure that should have
/// become the future is dropped.
pub(super) struct Monitor {
    life: Arc<Life>,
    exit: Exit,
    seat: Option<Arc<Seat>>,
}

impl Monitor {
    pub fn new(life: Arc<Life>, seat: Option<Arc<Seat>>) -> Self {
        Monitor { life, exit: Exit::Dropped, seat }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let exit = std::mem::replace(&mut self.exit, Exit::Dropped);
        // before anybody hears of the end, and may want the seat
        self.seat = None;
        self.life.tell(Note::Exited(exit));
    }
}

/// Makes the actor and starts its life on the present thread.
pub(super) fn begin<A: Actor<Context = Ctx<A>>>(
    make: &dyn Fn() -> A,
    mailbox: Mailbox<A>,
    words: mpsc::UnboundedReceiver<Word<A>>,
    mut monitor: Monitor,
) {
    match catch_unwind(AssertUnwindSafe(make)) {
        Ok(actor) => {
            let ctx = Ctx::new(&mailbox, Arc::clone(&monitor.life));
            let future = Some(ContextFut::new(ctx, actor, mailbox));
            actix_rt::spawn(Incarnation { future, words, monitor });
        }
        Err(panic) => monitor.exit = Exit::Panicked(message_of(&*panic)),
    }
}

// `future` comes before `monitor`: the exit is reported when the actor is gone.
struct Incarnation<A: Actor<Context = Ctx<A>>> {
    future: Option<ContextFut<A, Ctx<A>>>,
    words: mpsc::UnboundedReceiver<Word<A>>,
    monitor: Monitor,
}

impl<A: Actor<Context = Ctx<A>>> Future for Incarnation<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = this.future.as_mut() else { return Poll::Ready(()) };
        // asked at each poll: a word may arrive between a look and the wish to be woken for it
        let end = hear(future, &mut this.words, cx).or_else(|| live(future, &this.monitor.life, cx));
        let Some(exit) = end else { return Poll::Pending };
        if exit != Exit::Stopped && !matches!(exit, Exit::Failed(_) | Exit::Hopeless(_)) {
            // its state may be broken: no hook of the actor runs any more
            future.ctx().terminate();
        }
        this.monitor.exit = exit;
        this.tear_down();
        Poll::Ready(())
    }
}

/// Takes the supervisor's orders and what is urgent; they come before the mailbox.
fn hear<A: Actor<Context = Ctx<A>>>(
    future: &mut ContextFut<A, Ctx<A>>,
    words: &mut mpsc::UnboundedReceiver<Word<A>>,
    cx: &mut Context<'_>,
) -> Option<Exit> {
    while let Poll::Ready(word) = words.poll_recv(cx) {
        match word {
            Some(Word::Urgent(envelope)) => future.ctx().hasten(envelope),
            Some(Word::Order(Order::Stop(by))) => future.ctx().stop_before(by),
            Some(Word::Order(Order::Kill(reason))) => return Some(Exit::Killed(reason)),
            Some(Word::Order(Order::Inject(fault))) => future.ctx().inject(fault),
            None => return Some(Exit::Killed("its supervisor has ended".to_owned())),
        }
    }
    None
}

/// Polls the actor once.
fn live<A: Actor<Context = Ctx<A>>>(
    future: &mut ContextFut<A, Ctx<A>>,
    life: &Life,
    cx: &mut Context<'_>,
) -> Option<Exit> {
    future.ctx().refill();
    let hastened = future.ctx().is_hastened();
    life.poll_begins();
    let polled = catch_unwind(AssertUnwindSafe(|| {
        future.ctx().suffer();
        Pin::new(&mut *future).poll(cx)
    }));
    life.poll_ends();
    match polled {
        Err(panic) => Some(Exit::Panicked(message_of(&*panic))),
        Ok(Poll::Ready(())) => Some(future.ctx().take_failure().unwrap_or(Exit::Stopped)),
        Ok(Poll::Pending) if life.is_fenced() => Some(Exit::Killed("it was left behind".to_owned())),
        Ok(Poll::Pending) => {
            // what was urgent is done, and the mailbox was not looked at for its sake
            let overtaken = hastened && !future.ctx().is_hastened();
            if overtaken || future.ctx().is_spent() {
                cx.waker().wake_by_ref();
            }
            None
        }
    }
}

impl<A: Actor<Context = Ctx<A>>> Incarnation<A> {
    /// Drops the actor. What unwinds out of that must not reach the thread, nor replace the reason of the exit.
    fn tear_down(&mut self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.future = None)) {
            let (path, message) = (&self.monitor.life.path, message_of(&*panic));
            tracing::error!(path = %path, "{path} panicked while it was dropped: {message}");
        }
    }
}

impl<A: Actor<Context = Ctx<A>>> Drop for Incarnation<A> {
    fn drop(&mut self) {
        if self.future.is_some() {
            self.tear_down();
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}
