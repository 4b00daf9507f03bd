//! Carries one open run: journals what its state machine decides, then carries it out.
//!
//! ```text
//! accepted, answers, timers -> Run::advance -> one append -> durable? -> effects: dispatch, stop, wake
//! ```
//! A run has at most one append under way; what is decided meanwhile goes into the next. While the database is away
//! appends are repeated and the run stands still; nothing is answered that is not durable. A later life of the same
//! run knows nothing: it reads the journal and goes on as after a restart of the service. How it writes, and how it
//! carries out what is durable, is in `write` and `perform`.
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Handler, MessageResult, ResponseFuture};
use chrono::{DateTime, Utc};
use tokio::sync::{oneshot, watch};

use crate::actors::child_runs::{Children, Family};
use crate::actors::context::Ctx;
use crate::actors::engine_doors::{Doors, unknown};
use crate::actors::keys_in_flight::HeldKey;
use crate::actors::open_run::{OpenRun, left_alone, trigger_of};
use crate::actors::run_news::RunNews;
use crate::actors::runs::{Beginning, Berth, Share};
use crate::clock;
use crate::ids::{NodeId, RunId};
use crate::messages::orchestrator::{GetRun, RECOVERY, StartError, StartRun, SteerRun};
use crate::recovery::action::Restraint;
use crate::workflow::advance::{Acceptance, Advance, Trigger};
use crate::workflow::journal::Writer;
use crate::workflow::plan::Priority;
use crate::workflow::record::StoredRun;
use crate::workflow::run::Run;

mod perform;
mod write;

/// One who submits or steers is told so if the database has not confirmed by then; it goes on being tried.
pub(super) const CONFIRM: Duration = Duration::from_secs(20);

pub(super) type Steered = ResponseFuture<Result<bool, StartError>>;

/// What all runs of a service work with.
#[derive(Clone)]
pub struct Setting {
    pub node: NodeId,
    pub doors: Doors,
    pub news: RunNews,
    pub restraint: watch::Receiver<Restraint>,
    /// Known once the engine is put together.
    pub family: Arc<OnceLock<Family>>,
}

pub struct Runner {
    berth: Arc<Berth>,
    setting: Setting,
    /// None until the journal was read.
    open: Option<OpenRun>,
    children: Children,
    /// How often in a row the append under way was tried in vain.
    in_vain: u32,
    running: Share,
    /// Runs that are not critical wait.
    holding_back: bool,
    /// Watchers are about to be told.
    news_due: bool,
}

impl Runner {
    pub(super) fn new(berth: Arc<Berth>, setting: Setting) -> Self {
        let (running, holding_back) = (berth.share(), setting.restraint.borrow().hold_back);
        let (open, children) = (None, Children::default());
        Runner { berth, setting, open, children, in_vain: 0, running, holding_back, news_due: false }
    }

    fn id(&self) -> RunId {
        self.berth.run
    }

    fn accept(
        &mut self,
        StartRun { plan, by, carried, child, .. }: StartRun,
        key: Option<HeldKey>,
        submitter: oneshot::Sender<Result<RunId, StartError>>,
        ctx: &mut Ctx<Self>,
    ) {
        // Lists find it by the time in its id: it was accepted at that very moment.
        let now = self.id().begun().unwrap_or_else(clock::wall);
        let waits = self.holding_back && plan.priority() != Priority::Critical;
        let paused_by = waits.then(|| RECOVERY.to_owned());
        let parent = child.map(|child| child.parent);
        let (run, advance) = Run::accept_as(self.id(), Acceptance { plan, by, carried, paused_by, parent }, now);
        self.open = Some(OpenRun::accepted(run, key, submitter));
        self.take_at(now, advance, ctx);
    }

    fn take_up(&mut self, stored: StoredRun, ctx: &mut Ctx<Self>) {
        match OpenRun::replay(stored) {
            Ok(mut open) => {
                self.berth.note_need(false);
                self.setting.doors.teach.hand_over(open.take_lessons());
                let advance = open.run.resume(clock::wall());
                self.open = Some(open);
                self.take(advance, ctx);
                self.hold_or_let_go(ctx);
            }
            Err(fault) => {
                left_alone(self.id(), &fault);
                ctx.stop();
            }
        }
    }

    /// Does with a run that nobody carried what was wished, if that can be done.
    fn begin_as_wished(
        &mut self,
        trigger: Trigger,
        asker: oneshot::Sender<Result<bool, StartError>>,
        ctx: &mut Ctx<Self>,
    ) {
        self.read_journal(ctx, move |runner, stored, ctx| {
            match stored {
                Some(stored) if stored.outcome.is_none() => runner.take_up(stored, ctx),
                Some(ended) => match OpenRun::replay(ended) {
                    Ok(open) => runner.open = Some(open),
                    Err(fault) => left_alone(runner.id(), &fault),
                },
                None => {}
            }
            let steered = match runner.open {
                Some(_) => runner.steer(trigger, ctx),
                None => Box::pin(std::future::ready(Err(unreadable()))),
            };
            let changes = runner.open.as_ref().is_some_and(|open| open.first_waiting().is_some());
            if !changes && runner.open.as_ref().is_none_or(|open| open.run.is_finished()) {
                ctx.stop();
            }
            // Who asked may have gone; what was wished is done all the same.
            actix_rt::spawn(async move { drop(asker.send(steered.await)) });
        });
    }

    /// Goes on from the journal, which an earlier life left.
    fn go_on(&mut self, ctx: &mut Ctx<Self>) {
        self.read_journal(ctx, |runner, stored, ctx| match stored {
            Some(stored) if stored.outcome.is_none() => runner.take_up(stored, ctx),
            // It ended, or it was never stored and nobody was promised anything.
            _ => ctx.stop(),
        });
    }

    fn read_journal(
        &mut self,
        ctx: &mut Ctx<Self>,
        then: impl FnOnce(&mut Self, Option<StoredRun>, &mut Ctx<Self>) + 'static,
    ) {
        let (doors, id) = (self.setting.doors.clone(), self.id());
        let reading = async move { doors.read(id).await };
        ctx.spawn(reading.into_actor(self).map(|read, runner, ctx| match read {
            Ok(stored) => then(runner, stored, ctx),
            Err(damaged) => {
                left_alone(runner.id(), &damaged);
                ctx.stop();
            }
        }));
    }

    /// Waits or goes on as it is wished at present, and again at each change of that.
    fn keep_to_restraint(&mut self, ctx: &mut Ctx<Self>) {
        let hold = self.setting.restraint.borrow_and_update().hold_back;
        if hold != self.holding_back {
            self.holding_back = hold;
            self.hold_or_let_go(ctx);
        }
        let mut restraint = self.setting.restraint.clone();
        let change = async move { restraint.changed().await };
        ctx.spawn(change.into_actor(self).map(|changed, runner, ctx| {
            // Nobody restrains any more once the sender has gone with the service.
            if changed.is_ok() {
                runner.keep_to_restraint(ctx);
            }
        }));
    }

    /// Has a run that is not critical wait, or lets it go on if it waits for this reason.
    fn hold_or_let_go(&mut self, ctx: &mut Ctx<Self>) {
        let (hold, by) = (self.holding_back, RECOVERY.to_owned());
        let concerned = |open: &OpenRun| match open.run.paused_by() {
            None => hold && open.run.plan().priority() != Priority::Critical,
            Some(by) => !hold && by == RECOVERY,
        };
        if self.open.as_ref().is_some_and(concerned) {
            self.tell(if hold { Trigger::Pause { by } } else { Trigger::Resume { by } }, ctx);
        }
    }

    /// The answer to one who steers the run: whether that changed something, once it is durable.
    fn steer(&mut self, trigger: Trigger, ctx: &mut Ctx<Self>) -> Steered {
        if self.open.is_none() {
            let detail = "the journal of the run is being read".to_owned();
            return Box::pin(std::future::ready(Err(StartError::NotDurable { detail })));
        }
        let changed = self.tell(trigger.clone(), ctx);
        // One who asks again, since the database did not confirm in time, waits for what he asked for before.
        let steered = self.open.as_mut().filter(|open| changed || open.is_yet_to_write(&trigger));
        let durable = steered.map(OpenRun::when_durable);
        Box::pin(async move {
            let Some(durable) = durable else { return Ok(changed) };
            match tokio::time::timeout(CONFIRM, durable).await {
                Ok(Ok(())) => Ok(true),
                Ok(Err(_)) => Err(unknown("the run was started again before the database confirmed")),
                Err(_) => Err(unknown("the database did not confirm in time")),
            }
        })
    }

    /// False: the news changed nothing.
    fn tell(&mut self, trigger: Trigger, ctx: &mut Ctx<Self>) -> bool {
        let Some(open) = &mut self.open else { return false };
        let advance = open.run.advance(trigger, clock::wall());
        let changed = !advance.events.is_empty();
        self.take(advance, ctx);
        changed
    }

    /// Queues what was decided, and begins to journal it unless an append is under way.
    fn take(&mut self, advance: Advance, ctx: &mut Ctx<Self>) {
        self.take_at(clock::wall(), advance, ctx);
    }

    fn take_at(&mut self, now: DateTime<Utc>, advance: Advance, ctx: &mut Ctx<Self>) {
        let Some(open) = &mut self.open else { return };
        let writer = Writer { node: &self.setting.node, epoch: self.berth.epoch, at: now };
        if let Err(fault) = open.queue(advance, writer) {
            return ctx.fail(format!("its events cannot be written as JSON: {fault}"));
        }
        self.running.set(open.run.running_steps());
        if !open.writing {
            self.write(ctx);
        }
    }

    fn tell_watchers_soon(&mut self, ctx: &mut Ctx<Self>) {
        if !std::mem::replace(&mut self.news_due, true) {
            let due = self.setting.news.due();
            ctx.run_later(due.after, move |runner, _| {
                drop(due);
                runner.news_due = false;
                runner.tell_watchers();
            });
        }
    }

    fn tell_watchers(&self) {
        if let Some(run) = self.open.as_ref().and_then(OpenRun::durable) {
            self.setting.news.tell(run);
        }
    }
}

fn unreadable() -> StartError {
    StartError::NotDurable { detail: "its journal cannot be read; the log of the service says why".to_owned() }
}

impl Actor for Runner {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.keep_to_restraint(ctx);
        match self.berth.take_beginning() {
            Beginning::Accepted { order, key, submitter } => self.accept(order, key, submitter, ctx),
            Beginning::Stored(stored) => self.take_up(*stored, ctx),
            Beginning::Wished { trigger, asker } => self.begin_as_wished(trigger, asker, ctx),
            Beginning::Unread => self.go_on(ctx),
        }
    }
}

impl Handler<GetRun> for Runner {
    type Result = MessageResult<GetRun>;

    fn handle(&mut self, _: GetRun, _: &mut Ctx<Self>) -> Self::Result {
        MessageResult(self.open.as_ref().and_then(OpenRun::shown))
    }
}

impl Handler<SteerRun> for Runner {
    type Result = Steered;

    fn handle(&mut self, SteerRun { wish, by, .. }: SteerRun, ctx: &mut Ctx<Self>) -> Steered {
        self.steer(trigger_of(wish, by), ctx)
    }
}
