//! The context of a supervised actor: actix's own, plus readiness, failure and fairness.
//!
//! An actor whose clean-up takes time returns `Running::Continue` from `stopping`, does the work as a spawned
//! future, and then calls `ctx.stop()` again and returns `Running::Stop`; it has its grace to do so.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use actix::dev::{AsyncContextParts, ContextParts, Envelope, EnvelopeProxy, Mailbox};
use actix::fut::{self, ActorFuture, ActorFutureExt};
use actix::{Actor, ActorContext, ActorState, Addr, AsyncContext, SpawnHandle};

use crate::actors::drill::{Drill, Ordeal};
use crate::actors::life::Exit;
use crate::actors::life::Life;
use crate::actors::life::Note;
use crate::messages::supervision::Fault;

/// Messages handled before the thread is given to others. actix empties a mailbox without a pause, so an actor that
/// sends to itself would keep its neighbours waiting for ever.
const BUDGET: u32 = 64;

/// The context of one life of `A`.
pub struct Ctx<A: Actor<Context = Ctx<A>>> {
    parts: ContextParts<A>,
    life: Arc<Life>,
    budget: u32,
    /// Handled before the mailbox is read on; none is the rule, and takes little room.
    #[expect(clippy::box_collection, reason = "one word in each of many contexts, where a deque would be four")]
    urgent: Option<Box<VecDeque<Envelope<A>>>>,
    /// How the life is to end, unless in order.
    failure: Option<Box<Exit>>,
    stop_by: Option<Instant>,
    drill: Option<Box<Drill>>,
}

impl<A: Actor<Context = Ctx<A>>> Ctx<A> {
    pub(super) fn new(mailbox: &Mailbox<A>, life: Arc<Life>) -> Self {
        let parts = ContextParts::new(mailbox.sender_producer());
        Ctx { parts, life, budget: BUDGET, urgent: None, failure: None, stop_by: None, drill: None }
    }

    /// Opens the gate of a child that was started `WhenReady`; otherwise without effect.
    pub fn ready(&self) {
        self.life.tell(Note::Ready);
    }

    /// Ends this life as a crash would: the reason is shown and the child is restarted.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.end_with(Exit::Failed(reason.into()));
    }

    /// The same for what no restart can mend, of this child or of any above it: every supervisor up to the root gives
    /// up, and the process ends.
    pub fn fail_for_good(&mut self, reason: impl Into<String>) {
        self.end_with(Exit::Hopeless(reason.into()));
    }

    fn end_with(&mut self, exit: Exit) {
        self.failure = Some(Box::new(exit));
        self.stop();
    }

    /// The name from the root, as in `root/agents/agents-3/PACER`.
    pub fn path(&self) -> &str {
        &self.life.path
    }

    /// Counts the starts of this child, from 1.
    pub fn epoch(&self) -> u64 {
        self.life.epoch
    }

    /// When everything must have stopped; none unless a shutdown with a deadline is under way.
    pub fn stop_by(&self) -> Option<Instant> {
        self.stop_by
    }

    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    pub(super) fn take_failure(&mut self) -> Option<Exit> {
        self.failure.take().map(|exit| *exit)
    }

    pub(super) fn stop_before(&mut self, by: Option<Instant>) {
        self.stop_by = by;
        self.stop();
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        self.drill.get_or_insert_default().add(fault);
    }

    /// Suffers what was ordered: on the thread and within the poll of the child, where its own faults happen.
    pub(super) fn suffer(&mut self) {
        if let Some(drill) = &mut self.drill {
            drill.suffer(&self.life.path);
        }
    }

    pub(super) fn is_drilled(&self) -> bool {
        self.drill.is_some()
    }

    /// What befalls the next request.
    pub(super) fn next_ordeal(&mut self) -> Option<Ordeal> {
        self.drill.as_mut()?.next()
    }

    /// Has a message handled before those in the mailbox, though not in the midst of what the actor waits for.
    pub(super) fn hasten(&mut self, envelope: Envelope<A>) {
        if !self.is_hastened() {
            self.spawn(fut::ready(()).map(|(), actor: &mut A, ctx: &mut Self| {
                while let Some(mut envelope) = ctx.next_urgent() {
                    envelope.handle(actor, ctx);
                }
            }));
        }
        self.urgent.get_or_insert_default().push_back(envelope);
    }

    fn next_urgent(&mut self) -> Option<Envelope<A>> {
        let next = self.urgent.as_mut()?.pop_front();
        self.urgent.take_if(|waiting| waiting.is_empty());
        next
    }

    pub(super) fn is_hastened(&self) -> bool {
        self.urgent.is_some()
    }

    pub(super) fn spend(&mut self) {
        self.budget = self.budget.saturating_sub(1);
    }

    pub(super) fn refill(&mut self) {
        self.budget = BUDGET;
    }

    pub(super) fn is_spent(&self) -> bool {
        self.budget == 0
    }
}

impl<A: Actor<Context = Ctx<A>>> ActorContext for Ctx<A> {
    fn stop(&mut self) {
        self.parts.stop();
    }

    fn terminate(&mut self) {
        self.parts.terminate();
    }

    fn state(&self) -> ActorState {
        self.parts.state()
    }
}

impl<A: Actor<Context = Ctx<A>>> AsyncContext<A> for Ctx<A> {
    fn address(&self) -> Addr<A> {
        self.parts.address()
    }

    fn spawn<F: ActorFuture<A, Output = ()> + 'static>(&mut self, future: F) -> SpawnHandle {
        self.parts.spawn(future)
    }

    fn wait<F: ActorFuture<A, Output = ()> + 'static>(&mut self, future: F) {
        self.parts.wait(future);
    }

    /// The mailbox is read while this is false.
    fn waiting(&self) -> bool {
        self.is_spent() || self.is_hastened() || self.life.is_fenced() || self.parts.waiting()
    }

    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.parts.cancel_future(handle)
    }
}

impl<A: Actor<Context = Ctx<A>>> AsyncContextParts<A> for Ctx<A> {
    fn parts(&mut self) -> &mut ContextParts<A> {
        &mut self.parts
    }
}
