//! A dynamic supervisor: a child like any other, whose own children come and go at run time, none tied to another.
//!
//! ```text
//! reserve -> Vacancy::start -> worker: temporary (gone when it ends), transient (started again after a failure)
//!       `--> Adopt          -> guest: its future is polled elsewhere; seen, counted, told to go
//! ```
//! Thousands may live here, so that no event looks at all of them: what is due when stands in an [`Agenda`]. Only the
//! watchdog looks at each, ten times a second, and a shutdown tells all of them at once. What happens when a child
//! ends is in `ends`.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Handler, MessageResult, Running, SpawnHandle, StreamHandler};
use futures_util::stream;
use tokio::sync::mpsc;

use crate::actors::child::Readiness;
use crate::actors::context::Ctx;
use crate::actors::dynamic::handle::Lasting;
use crate::actors::dynamic::handle::NotStarted;
use crate::actors::dynamic::handle::StartChild;
use crate::actors::dynamic::handle::TakeIn;
use crate::actors::dynamic::member::Guest;
use crate::actors::dynamic::member::Member;
use crate::actors::dynamic::member::Stage;
use crate::actors::dynamic::member::worker;
use crate::actors::entry::Entry;
use crate::actors::home::HomeError;
use crate::actors::life::Line;
use crate::actors::life::News;
use crate::actors::life::Note;
use crate::actors::supervisor::End;
use crate::clock;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Describe;
use crate::messages::supervision::Node;
use crate::messages::supervision::Transition;
use crate::messages::supervision::{Intervene, Intervened, Intervention};
use crate::resilience::agenda::Agenda;
use crate::resilience::restart::Intensity;
use crate::resilience::restart::RestartWindow;

mod ends;
pub mod handle;
mod member;

/// Children that are shown; the others are counted.
const SHOWN: usize = 500;
/// How often threads are looked at; everything else has its exact timer.
const TICK: Duration = Duration::from_millis(100);

/// The recipe of a dynamic supervisor.
pub struct DynamicSpec {
    pub name: String,
    /// How many restarts of its children are too many.
    pub intensity: Intensity,
    /// How often in a row one child may fail before it alone is given up; without that, one that can never live would
    /// use up the restarts of all.
    pub most_failures: u32,
    /// How many children there may be at once.
    pub most: usize,
}

pub struct DynamicSupervisor {
    spec: Arc<DynamicSpec>,
    lasting: Arc<Lasting>,
    members: BTreeMap<usize, Member>,
    agenda: Agenda,
    window: RestartWindow,
    /// Set once all are to go.
    end: Option<End>,
    /// When all must have gone, in a shutdown with a deadline.
    by: Option<Instant>,
    line: Line,
    news: Option<mpsc::UnboundedReceiver<News>>,
    timer: Option<(Instant, SpawnHandle)>,
    all_gone: bool,
}

impl DynamicSupervisor {
    fn new(spec: Arc<DynamicSpec>, lasting: Arc<Lasting>) -> Self {
        let (line, news) = mpsc::unbounded_channel();
        DynamicSupervisor {
            window: RestartWindow::new(spec.intensity),
            spec,
            lasting,
            members: BTreeMap::new(),
            agenda: Agenda::default(),
            end: None,
            by: None,
            line,
            news: Some(news),
            timer: None,
            all_gone: false,
        }
    }

    /// Does what is due, then waits for the next event or deadline.
    fn advance(&mut self, ctx: &mut Ctx<Self>) {
        while let Some(id) = self.agenda.take_due(clock::now()) {
            self.due(id, ctx);
            self.note(id);
        }
        if self.members.is_empty()
            && !self.all_gone
            && let Some(end) = &self.end
        {
            self.all_gone = true;
            match end {
                End::GaveUp(reason) => ctx.fail(reason.clone()),
                End::GaveUpForGood(reason) => ctx.fail_for_good(reason.clone()),
                End::Told => ctx.stop(),
            }
        }
        self.set_timer(ctx);
    }

    /// Notes when the next clock of this child runs out.
    fn note(&mut self, id: usize) {
        self.agenda.set(id, self.members.get(&id).and_then(Member::next_clock));
    }

    /// Wakes for the first on the agenda. A timer that is set for earlier stays: it finds nothing to do, which costs
    /// less than to replace it at each change.
    fn set_timer(&mut self, ctx: &mut Ctx<Self>) {
        let Some(next) = self.agenda.next() else { return };
        if self.timer.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some((_, later)) = self.timer.take() {
            ctx.cancel_future(later);
        }
        let left = next.saturating_duration_since(clock::now());
        let handle = ctx.run_later(left, |supervisor, ctx| {
            supervisor.timer = None;
            supervisor.advance(ctx);
        });
        self.timer = Some((next, handle));
    }

    /// Begins a life of a worker.
    fn begin(&mut self, id: usize, ctx: &mut Ctx<Self>) -> Result<(), NotStarted> {
        let Some(Member::Worker(worker)) = self.members.get_mut(&id) else { return Ok(()) };
        let now = clock::now();
        worker.entry.start(id, &ctx.life().tree, &self.line, now)?;
        worker.stage = Stage::Starting;
        match worker.spec.readiness {
            Readiness::AtOnce => self.ready(id, ctx),
            Readiness::WhenReady { within } => {
                worker.entry.kill_at = Some(now + within);
                worker.entry.kid.shut(None, ChildState::Starting, "starting");
            }
        }
        Ok(())
    }

    fn ready(&mut self, id: usize, ctx: &mut Ctx<Self>) {
        let Some(Member::Worker(worker)) = self.members.get_mut(&id) else { return };
        if worker.stage == Stage::Starting && worker.entry.sentence.is_none() {
            worker.stage = Stage::Up;
            worker.entry.kill_at = None;
            worker.entry.open();
            self.say(id, Transition::Started, ctx);
        }
    }

    fn say(&self, id: usize, what: Transition, ctx: &Ctx<Self>) {
        let (path, epoch) = match self.members.get(&id) {
            Some(Member::Worker(worker)) => (&worker.entry.path, worker.entry.kid.epoch()),
            Some(Member::Guest(guest)) => (&guest.path, 1),
            None => return,
        };
        ctx.life().tree.say_of_passing(path, epoch, what);
    }

    /// Ends all for good, at once and not one after the other: there may be thousands.
    fn close(&mut self, end: End, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        let reason = if end == End::Told { "stopping" } else { "its supervisor gave up" };
        self.end = Some(end);
        let by = self.by;
        self.members.retain(|_, member| match member {
            Member::Guest(guest) => {
                guest.send_away(by, now);
                true
            }
            Member::Worker(worker) => {
                worker.entry.kid.shut(None, ChildState::Down, reason);
                match worker.stage {
                    Stage::Due(_) => return false,
                    Stage::Starting | Stage::Up => worker.entry.tell_to_stop(worker.spec.grace, by, now),
                    Stage::Leaving { .. } => {
                        worker.entry.kill_at = worker.entry.kill_at.map(|at| by.map_or(at, |by| by.min(at)));
                    }
                }
                worker.stage = Stage::Leaving { again: false };
                true
            }
        });
        self.agenda = Agenda::default();
        for (id, member) in &self.members {
            self.agenda.set(*id, member.next_clock());
        }
        self.advance(ctx);
    }
}

impl Actor for DynamicSupervisor {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        if let Some(mut news) = self.news.take() {
            ctx.add_stream(stream::poll_fn(move |cx| news.poll_recv(cx)));
        }
        ctx.run_interval(TICK, |supervisor, ctx| supervisor.watch(ctx));
    }

    fn stopping(&mut self, ctx: &mut Ctx<Self>) -> Running {
        self.by = ctx.stop_by();
        if self.end.is_none() {
            self.close(End::Told, ctx);
        }
        if self.all_gone { Running::Stop } else { Running::Continue }
    }
}

impl StreamHandler<News> for DynamicSupervisor {
    fn handle(&mut self, News { index: id, epoch, note }: News, ctx: &mut Ctx<Self>) {
        if !self.members.get(&id).is_some_and(|member| member.is_in_life(epoch)) {
            return; // of a life that is over
        }
        match note {
            Note::Exited(exit) => self.ended(id, exit, ctx),
            Note::Ready => self.ready(id, ctx),
            Note::Hung => self.hung(id),
            // there is no breaker that would have to know
            Note::Call(_) => return,
        }
        self.note(id);
        self.advance(ctx);
    }
}

impl Handler<StartChild> for DynamicSupervisor {
    type Result = Result<(), NotStarted>;

    fn handle(&mut self, StartChild { spec, seat }: StartChild, ctx: &mut Ctx<Self>) -> Self::Result {
        let entry = Entry::new(&spec, ctx.path(), &ctx.life().tree.supervisors, clock::now());
        if self.end.is_some() {
            entry.kid.shut(None, ChildState::Down, "its supervisor was stopping");
            return Err(NotStarted::Stopping);
        }
        let id = self.lasting.next();
        self.members.insert(id, Member::Worker(worker(entry, spec, seat)));
        let begun = self.begin(id, ctx);
        if begun.is_err()
            && let Some(Member::Worker(worker)) = self.members.remove(&id)
        {
            worker.entry.kid.shut(None, ChildState::Down, "it could not be started");
        }
        if let Err(NotStarted::NoThread(error @ HomeError::TooManyLost { .. })) = &begun {
            // only a new process has its threads back
            self.give_up(error.to_string(), ctx);
        }
        self.note(id);
        self.set_timer(ctx);
        begun
    }
}

impl Handler<TakeIn> for DynamicSupervisor {
    type Result = MessageResult<TakeIn>;

    fn handle(&mut self, TakeIn { guest, seat }: TakeIn, ctx: &mut Ctx<Self>) -> Self::Result {
        let id = self.lasting.next();
        let (mut guest, stay) = Guest::take_in(id, guest, ctx.path(), &self.line, seat);
        if self.end.is_some() {
            // It came in the last moment, and goes again.
            guest.send_away(self.by, clock::now());
        }
        self.members.insert(id, Member::Guest(guest));
        self.say(id, Transition::Started, ctx);
        self.note(id);
        self.set_timer(ctx);
        MessageResult(stay)
    }
}

impl Handler<Describe> for DynamicSupervisor {
    type Result = MessageResult<Describe>;

    fn handle(&mut self, _: Describe, ctx: &mut Ctx<Self>) -> Self::Result {
        let now = clock::now();
        let children: Vec<Node> = self.members.values().take(SHOWN).map(|member| member.node(now)).collect();
        MessageResult(Node {
            strategy: Some("dynamic"),
            restarts_in_window: self.window.count(now),
            more: self.members.len() - children.len(),
            children,
            ..ctx.life().node_of_supervisor(&self.spec.name, self.end.is_some())
        })
    }
}

impl Handler<Intervene> for DynamicSupervisor {
    type Result = MessageResult<Intervene>;

    fn handle(&mut self, Intervene { name, how, .. }: Intervene, ctx: &mut Ctx<Self>) -> Self::Result {
        let found = self.members.iter_mut().find(|(_, member)| member.name() == name);
        let Some((&id, member)) = found.filter(|_| self.end.is_none()) else {
            return MessageResult(Intervened::Unknown);
        };
        let done = match (member, how) {
            (Member::Worker(worker), Intervention::Inject(fault)) => worker.entry.inject(fault),
            (Member::Worker(worker), Intervention::Restart) => {
                worker.entry.recalled = true;
                self.restart(id);
                Intervened::Done
            }
            (Member::Guest(guest), Intervention::Restart) => {
                guest.send_away(self.by, clock::now());
                Intervened::Done
            }
            // what carries it is not ours to break
            (Member::Guest(_), Intervention::Inject(_)) => Intervened::NotAlive,
        };
        self.note(id);
        self.advance(ctx);
        MessageResult(done)
    }
}
