//! A supervisor: starts its children in order, restarts what fails, withdraws what keeps failing, and gives up when
//! restarts do not help. It is itself a child like any other; its own supervisor restarts it with all below it.
//!
//! Every event ends in `advance`, which asks the [`Roster`] what is next until there is nothing to do, and then sets
//! one timer for the next deadline. What happens when a child ends is in `failing`; what clocks cause is in `watch`.
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Handler, ResponseFuture, Running, SpawnHandle, StreamHandler};
use futures_util::stream;
use tokio::sync::mpsc;

use crate::actors::child::Below;
use crate::actors::child::ChildSpec;
use crate::actors::child::Readiness;
use crate::actors::context::Ctx;
use crate::actors::entry::Entry;
use crate::actors::incarnation::Order;
use crate::actors::life::Exit;
use crate::actors::life::Line;
use crate::actors::life::News;
use crate::actors::life::Note;
use crate::clock;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Describe;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;
use crate::messages::supervision::Transition;
use crate::messages::supervision::{Intervene, Intervened, Intervention};
use crate::resilience::breaker::Breaker;
use crate::resilience::breaker::State;
use crate::resilience::restart::Intensity;
use crate::resilience::restart::RestartWindow;
use crate::resilience::roster::Phase;
use crate::resilience::roster::Roster;
use crate::resilience::roster::Step;
use crate::resilience::roster::Strategy;

/// How long a supervisor below may take to describe itself.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(2);

/// The recipe of a supervisor.
pub struct SupervisorSpec {
    pub name: String,
    pub strategy: Strategy,
    /// How many restarts of its children are too many.
    pub intensity: Intensity,
    /// In the order of their start.
    pub children: Vec<ChildSpec>,
}

/// Why a supervisor ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Told,
    GaveUp(String),
    /// As a child did, whom no restart can help.
    GaveUpForGood(String),
}

pub struct Supervisor {
    pub(super) spec: Arc<SupervisorSpec>,
    pub(super) entries: Vec<Entry>,
    pub(super) roster: Roster,
    pub(super) window: RestartWindow,
    pub(super) end: Option<End>,
    /// When all must have stopped, in a shutdown with a deadline.
    pub(super) by: Option<Instant>,
    line: Line,
    news: Option<mpsc::UnboundedReceiver<News>>,
    timer: Option<(Instant, SpawnHandle)>,
    all_gone: bool,
}

impl Supervisor {
    pub(super) fn new(spec: Arc<SupervisorSpec>) -> Self {
        let (line, news) = mpsc::unbounded_channel();
        Supervisor {
            roster: Roster::new(spec.strategy, spec.children.len(), clock::now()),
            window: RestartWindow::new(spec.intensity),
            entries: Vec::new(),
            end: None,
            by: None,
            line,
            news: Some(news),
            timer: None,
            all_gone: false,
            spec,
        }
    }

    /// Does what is due, then waits for the next event or deadline.
    pub(super) fn advance(&mut self, ctx: &mut Ctx<Self>) {
        while !self.all_gone {
            match self.roster.next(clock::now()) {
                Step::Start(index) => self.start(index, ctx),
                Step::Stop(index) => self.stop(index),
                Step::Wait(at) => return self.set_timer(at, ctx),
                Step::AllGone => {
                    self.all_gone = true;
                    match self.end.take() {
                        Some(End::GaveUp(reason)) => ctx.fail(reason),
                        Some(End::GaveUpForGood(reason)) => ctx.fail_for_good(reason),
                        Some(End::Told) | None => ctx.stop(),
                    }
                }
            }
        }
    }

    fn start(&mut self, index: usize, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        let entry = &mut self.entries[index];
        self.roster.started(index);
        if entry.breaker.as_mut().is_some_and(|breaker| breaker.tick(now)) {
            self.say(index, Transition::BreakerHalfOpen, ctx);
        }
        let entry = &mut self.entries[index];
        if let Err(error) = entry.start(index, &ctx.life().tree, &self.line, now) {
            return self.ended(index, Exit::Failed(error.to_string()), ctx);
        }
        match self.spec.children[index].readiness {
            Readiness::AtOnce => self.ready(index, ctx),
            Readiness::WhenReady { within } => {
                entry.kill_at = Some(now + within);
                entry.kid.shut(None, ChildState::Starting, "starting");
            }
        }
    }

    fn ready(&mut self, index: usize, ctx: &mut Ctx<Self>) {
        let killed = self.entries[index].sentence.is_some();
        if !killed && self.roster.ready(index) {
            let entry = &mut self.entries[index];
            entry.kill_at = None;
            entry.open();
            self.say(index, Transition::Started, ctx);
        }
    }

    fn stop(&mut self, index: usize) {
        let grace = self.spec.children[index].grace;
        self.entries[index].tell_to_stop(grace, self.by, clock::now());
        self.roster.told(index);
    }

    /// Stops everything for good.
    pub(super) fn close(&mut self, end: End, ctx: &mut Ctx<Self>) {
        let reason = if end == End::Told { "stopping" } else { "its supervisor gave up" };
        for entry in &self.entries {
            entry.kid.shut(None, ChildState::Down, reason);
        }
        self.end = Some(end);
        for leaving in self.roster.close() {
            self.hurry(leaving);
        }
        self.advance(ctx);
    }

    /// Tells one that is stopping already of a shutdown's deadline.
    fn hurry(&mut self, index: usize) {
        let Some(by) = self.by else { return };
        let entry = &mut self.entries[index];
        if let Some(at) = entry.kill_at.as_mut() {
            *at = by.min(*at);
        } else if self.roster.phase(index) == (Phase::Leaving { told: true }) && entry.sentence.is_none() {
            entry.kid.order(Order::Stop(Some(by)));
        }
    }

    fn restart(&mut self, index: usize, ctx: &mut Ctx<Self>) -> Intervened {
        let now = clock::now();
        let entry = &mut self.entries[index];
        entry.recalled = true;
        entry.failures = 0;
        let was_closed = entry.breaker_state() == State::Closed;
        entry.breaker = self.spec.children[index].breaker.clone().map(Breaker::new);
        if !was_closed {
            self.say(index, Transition::BreakerClosed, ctx);
        }
        for leaving in self.roster.recall(index, now) {
            self.entries[leaving].kid.shut(None, ChildState::Restarting, "restarting");
        }
        self.advance(ctx);
        Intervened::Done
    }

    pub(super) fn say(&self, index: usize, what: Transition, ctx: &Ctx<Self>) {
        let entry = &self.entries[index];
        ctx.life().tree.say(&entry.path, entry.kid.epoch(), what);
    }

    /// Wakes at the earliest of `at` and every clock of the children.
    fn set_timer(&mut self, at: Option<Instant>, ctx: &mut Ctx<Self>) {
        let clocks = self.entries.iter().enumerate().flat_map(|(index, entry)| {
            let reopen = entry.open_until().filter(|_| self.roster.phase(index) == Phase::Up);
            [entry.next_clock(), reopen]
        });
        let wake = clocks.chain([at]).flatten().min();
        if self.timer.map(|(at, _)| at) == wake {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        self.timer = wake.map(|at| {
            let left = at.saturating_duration_since(clock::now());
            let handle = ctx.run_later(left, |supervisor, ctx| {
                supervisor.timer = None;
                supervisor.clocks(ctx);
                supervisor.advance(ctx);
            });
            (at, handle)
        });
    }

    fn below(&self) -> Vec<(usize, Below)> {
        let children = self.spec.children.iter().enumerate();
        children.filter_map(|(index, child)| child.below.clone().map(|below| (index, below))).collect()
    }
}

impl Actor for Supervisor {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        let supervisors = Arc::clone(&ctx.life().tree.supervisors);
        let children = self.spec.children.iter();
        self.entries = children.map(|child| Entry::new(child, ctx.path(), &supervisors, now)).collect();
        for entry in &self.entries {
            // an earlier life of this supervisor may have left an address behind
            entry.kid.shut(None, ChildState::Starting, "starting");
        }
        if let Some(mut news) = self.news.take() {
            ctx.add_stream(stream::poll_fn(move |cx| news.poll_recv(cx)));
        }
        self.watch_every_tick(ctx);
        self.advance(ctx);
    }

    fn stopping(&mut self, ctx: &mut Ctx<Self>) -> Running {
        self.by = ctx.stop_by();
        if !self.roster.is_closed() {
            self.close(End::Told, ctx);
        }
        if self.all_gone { Running::Stop } else { Running::Continue }
    }
}

impl StreamHandler<News> for Supervisor {
    fn handle(&mut self, News { index, epoch, note }: News, ctx: &mut Ctx<Self>) {
        if !self.entries[index].is_in_life(epoch) {
            return; // of a life that is over
        }
        match note {
            Note::Exited(exit) => return self.ended(index, exit, ctx),
            Note::Ready => self.ready(index, ctx),
            Note::Call(report) => self.called(index, report, ctx),
            Note::Hung => self.entries[index].hung(clock::now()),
        }
        self.advance(ctx);
    }
}

impl Handler<Describe> for Supervisor {
    type Result = ResponseFuture<Node>;

    fn handle(&mut self, _: Describe, ctx: &mut Ctx<Self>) -> Self::Result {
        let now = clock::now();
        let kind = |child: &ChildSpec| if child.below.is_some() { NodeKind::Supervisor } else { NodeKind::Worker };
        let mut me = Node {
            strategy: Some(self.spec.strategy.name()),
            restarts_in_window: self.window.count(now),
            children: self.entries.iter().zip(&self.spec.children).map(|(e, child)| e.node(kind(child), now)).collect(),
            ..ctx.life().node_of_supervisor(&self.spec.name, self.roster.is_closed())
        };
        let below = self.below();
        Box::pin(async move {
            for (index, supervisor) in below {
                if let Ok(there) = supervisor.describe.ask_within(Describe, DESCRIBE_WITHIN).await {
                    let node = &mut me.children[index];
                    node.strategy = there.strategy;
                    node.restarts_in_window = there.restarts_in_window;
                    node.children = there.children;
                    node.more = there.more;
                }
            }
            me
        })
    }
}

impl Handler<Intervene> for Supervisor {
    type Result = ResponseFuture<Intervened>;

    fn handle(&mut self, message: Intervene, ctx: &mut Ctx<Self>) -> Self::Result {
        let here = self.entries.iter().position(|entry| entry.name == message.name);
        if let Some(index) = here.filter(|_| !self.roster.is_closed()) {
            let done = match message.how {
                Intervention::Restart => self.restart(index, ctx),
                Intervention::Inject(fault) => self.entries[index].inject(fault),
            };
            return Box::pin(async move { done });
        }
        let below = self.below();
        Box::pin(async move {
            let mut not_found = Intervened::Unknown;
            for (_, supervisor) in below {
                match supervisor.intervene.ask(message.clone()).await {
                    Ok(Intervened::Unknown) => {}
                    Ok(found) => return found,
                    // it is being restarted itself, and may be the one that has the child
                    Err(_) => not_found = Intervened::NotAlive,
                }
            }
            not_found
        })
    }
}
