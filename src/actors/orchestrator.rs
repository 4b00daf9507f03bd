//! Admits runs, starts each as a child of its own, and passes on to it what is asked of it.
//!
//! ```text
//! StartRun -> a seat among those for open runs -> a `Runner`, which makes the run durable and answers
//! SteerRun, GetRun -> the runner of that run; a run without one, which ended or was given up, gets one again if what is
//!                     wished can be done with it
//! ```
//! Who is open is known to all its lives (`runs`), so that runs go on while it is started anew. The journal is read
//! once for each life of the supervisor of the runs, with whose end they all ended.
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Handler, MessageResult, ResponseFuture};
use tokio::sync::oneshot;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::actors::child::{ChildOptions, Place, Restart};
use crate::actors::context::Ctx;
use crate::actors::dynamic::handle::{Dynamic, Vacancy};
use crate::actors::engine_doors::{RETRY, unknown};
use crate::actors::home::Home;
use crate::actors::keys_in_flight::KeysInFlight;
use crate::actors::open_run::{left_alone, trigger_of};
use crate::actors::runner::{CONFIRM, Runner, Setting, Steered};
use crate::actors::runs::{Beginning, Recovered, Runs};
use crate::actors::slot::Ref;
use crate::ids::RunId;
use crate::messages::orchestrator::{EngineStatus, GetEngineStatus, GetRun, StartError, StartRun, SteerRun, WatchRun};
use crate::messages::port::AskError;
use crate::messages::store::LoadRun;
use crate::resilience::admission::Priority;

/// Requests to one run that may wait.
const QUEUE: usize = 64;

/// Where runs are started. All lives of the orchestrator have the same.
#[derive(Clone)]
pub struct Nursery {
    pub setting: Setting,
    /// The supervisor of the runs.
    pub crowd: Dynamic,
    /// The threads that runs live on, each on one of them.
    pub homes: Arc<[Arc<Home>]>,
    pub runs: Runs,
    pub keys: KeysInFlight,
}

pub struct Orchestrator {
    nursery: Nursery,
    /// Which start of this node this is; none until the journal of the last one was read.
    epoch: Option<i64>,
}

impl Nursery {
    /// Starts the runner of a run in this seat.
    fn begin(
        &self,
        vacancy: Vacancy,
        run: RunId,
        epoch: i64,
        beginning: Beginning,
    ) -> impl Future<Output = Result<(), AskError>> + Send + 'static {
        let (berth, setting) = (self.runs.berth(run, epoch, beginning), self.setting.clone());
        let home = &self.homes[run.0.as_u128() as usize % self.homes.len()];
        let options = ChildOptions {
            restart: Restart::Transient,
            cap: QUEUE,
            ..ChildOptions::at(Place::Shared(Arc::clone(home)))
        };
        let kept = Arc::clone(&berth);
        let (runner, unborn) =
            vacancy.fill(run.to_string(), options, move || Runner::new(Arc::clone(&kept), setting.clone()));
        self.runs.list(&berth, runner, self.crowd.epoch());
        drop(berth);
        let runs = self.runs.clone();
        let given_up = move |reason: &str| {
            runs.note_need(run, true);
            error!(
                run.id = %run,
                "run {run} stands still: its runner had {reason}. What is asked of the run (cancel, resume) and the \
                 next start of the service try again"
            );
        };
        unborn.when_given_up(given_up).start()
    }

    /// Has a run do as wished. False: it cannot, or there is no such run.
    async fn steer(&self, wish: SteerRun, epoch: i64) -> Result<bool, StartError> {
        if let Some(runner) = self.runs.runner(wish.run)
            && let Some(steered) = self.ask(&runner, &wish).await
        {
            return steered;
        }
        let load = self.setting.doors.load.ask(LoadRun(wish.run)).await;
        let stored = load.map_err(not_durable)?.map_err(not_durable)?;
        let Some(stored) = stored.filter(|stored| stored.node == self.setting.node) else { return Ok(false) };
        let has_ended = stored.outcome.is_some();
        if has_ended && !wish.wish.reopens() {
            return Ok(false);
        }
        // From here to its start nothing is awaited: nobody else can start it meanwhile.
        if let Some(runner) = self.runs.runner(wish.run) {
            return self.ask(&runner, &wish).await.unwrap_or_else(|| Err(unknown("the run has just ended")));
        }
        if self.runs.recovered().is_none_or(|recovered| recovered.life != self.crowd.epoch()) {
            return Err(StartError::NotDurable { detail: "the open runs are being taken up".to_owned() });
        }
        let (open, limit) = self.crowd.occupancy();
        let vacancy = match has_ended {
            true => self.crowd.reserve().map_err(|_| StartError::TooMany { open, limit })?,
            // it was promised that it goes on
            false => self.crowd.reserve_anyway(),
        };
        let (asker, answer) = oneshot::channel();
        let beginning = Beginning::Wished { trigger: trigger_of(wish.wish, wish.by), asker };
        self.begin(vacancy, wish.run, epoch, beginning).await.map_err(not_durable)?;
        let answered = tokio::time::timeout(CONFIRM, answer).await;
        let answered = answered.map_err(|_| unknown("the database did not confirm in time"))?;
        answered.unwrap_or_else(|_| Err(unknown("the run was started again before the database confirmed")))
    }

    /// Asks the runner of a run; none: the run has ended, and the runner is gone.
    async fn ask(&self, runner: &Ref<Runner>, wish: &SteerRun) -> Option<Result<bool, StartError>> {
        let priority = if wish.wish.is_urgent() { Priority::System } else { Priority::Normal };
        let within = CONFIRM + Duration::from_secs(1);
        match runner.port_for::<SteerRun>(priority).ask_within(wish.clone(), within).await {
            Ok(steered) => Some(steered),
            Err(AskError::Unavailable { .. }) if self.runs.let_go_of_ended(wish.run).await => None,
            Err(refusal) if refusal.certainly_not_executed() => Some(Err(not_durable(refusal))),
            Err(fault) => Some(Err(unknown(&fault.to_string()))),
        }
    }

    /// Starts what the last start, or an earlier life of the supervisor of the runs, left open.
    async fn take_up(&self) -> Recovered {
        let life = self.crowd.epoch();
        let is_first = self.runs.is_first_to_read_for(life);
        let (epoch, stored) = self.setting.doors.read_open().await;
        let count = stored.len();
        for stored in stored {
            let stored = match stored {
                Ok(stored) => stored,
                Err(damaged) => {
                    left_alone(damaged.run, &damaged);
                    continue;
                }
            };
            let run = stored.header.run;
            // What an earlier life of the orchestrator has begun may have ended since the journal was read.
            let mut beginning = if is_first { Beginning::Stored(Box::new(stored)) } else { Beginning::Unread };
            while !self.runs.is_open(run, life) {
                let vacancy = self.crowd.reserve_anyway();
                let Err(refusal) = self.begin(vacancy, run, epoch, beginning).await else { break };
                warn!(run.id = %run, "run {run} is taken up later: {refusal}");
                tokio::time::sleep(RETRY).await;
                beginning = Beginning::Unread;
            }
        }
        info!(epoch, runs = count, "epoch {epoch} begins with {count} open runs");
        Recovered { epoch, life }
    }
}

impl Orchestrator {
    pub fn new(nursery: Nursery) -> Self {
        Orchestrator { nursery, epoch: None }
    }

    fn recover(&mut self, ctx: &mut Ctx<Self>) {
        let known = self.nursery.runs.recovered().filter(|known| known.life == self.nursery.crowd.epoch());
        if let Some(Recovered { epoch, .. }) = known {
            self.epoch = Some(epoch);
            let count = self.nursery.runs.count();
            return info!(epoch, runs = count, "{count} open runs went on by themselves");
        }
        let nursery = self.nursery.clone();
        let taking_up = async move { nursery.take_up().await };
        ctx.spawn(taking_up.into_actor(self).map(|recovered, engine, ctx| {
            engine.nursery.runs.note_recovered(recovered);
            engine.epoch = Some(recovered.epoch);
            let doors = engine.nursery.setting.doors.clone();
            let runs = engine.nursery.runs.clone();
            let node = engine.nursery.setting.node.clone();
            let (teaching, looking) = (doors.clone(), async move { doors.in_need(&node).await });
            ctx.spawn(looking.into_actor(engine).map(move |in_need, _, _| {
                in_need.into_iter().for_each(|run| runs.note_need(run, true));
            }));
            ctx.spawn(async move { teaching.teach_ended().await }.into_actor(engine));
        }));
    }

    fn recovered(&self) -> Result<i64, StartError> {
        let detail = || "the journal of the last start is still being read".to_owned();
        self.epoch.ok_or_else(|| StartError::NotDurable { detail: detail() })
    }

    fn admit(
        &self,
        mut order: StartRun,
    ) -> Result<impl Future<Output = Result<RunId, StartError>> + 'static, StartError> {
        let epoch = self.recovered()?;
        let id = order.child.as_ref().map_or_else(|| RunId(Uuid::now_v7()), |child| child.id);
        let submission = order.submission.take();
        let key = submission.map(|submission| self.nursery.keys.hold(&order.by, submission, id)).transpose()?;
        let vacancy = self.nursery.crowd.reserve().map_err(|_| {
            let (open, limit) = self.nursery.crowd.occupancy();
            StartError::TooMany { open, limit }
        })?;
        let (submitter, accepted) = oneshot::channel();
        let started = self.nursery.begin(vacancy, id, epoch, Beginning::Accepted { order, key, submitter });
        let answered = async move {
            started.await.map_err(not_durable)?;
            accepted.await.unwrap_or_else(|_| Err(unknown("the run was started again before the database confirmed")))
        };
        Ok(async move {
            let answered = tokio::time::timeout(CONFIRM, answered).await;
            answered.unwrap_or_else(|_| Err(unknown("the database did not confirm in time")))
        })
    }
}

fn not_durable(cause: impl Display) -> StartError {
    StartError::NotDurable { detail: cause.to_string() }
}

impl Actor for Orchestrator {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.recover(ctx);
    }
}

impl Handler<StartRun> for Orchestrator {
    type Result = ResponseFuture<Result<RunId, StartError>>;

    fn handle(&mut self, order: StartRun, _: &mut Ctx<Self>) -> Self::Result {
        let child = order.child.as_ref().map(|child| child.id);
        if let Some(id) = child.filter(|id| self.nursery.runs.runner(*id).is_some()) {
            return Box::pin(std::future::ready(Ok(id)));
        }
        let begun = self.admit(order);
        Box::pin(async move { begun?.await })
    }
}

impl Handler<GetRun> for Orchestrator {
    type Result = ResponseFuture<Option<crate::workflow::run::Run>>;

    fn handle(&mut self, get: GetRun, _: &mut Ctx<Self>) -> Self::Result {
        let runner = self.nursery.runs.runner(get.0);
        // One that is being started anew cannot tell: the store has it too.
        Box::pin(async move { runner?.port().ask(get).await.ok().flatten() })
    }
}

impl Handler<WatchRun> for Orchestrator {
    type Result = MessageResult<WatchRun>;

    fn handle(&mut self, WatchRun(id): WatchRun, _: &mut Ctx<Self>) -> Self::Result {
        MessageResult(self.nursery.runs.watch(id))
    }
}

impl Handler<SteerRun> for Orchestrator {
    type Result = Steered;

    fn handle(&mut self, wish: SteerRun, _: &mut Ctx<Self>) -> Steered {
        let (nursery, epoch) = (self.nursery.clone(), self.recovered());
        Box::pin(async move { nursery.steer(wish, epoch?).await })
    }
}

impl Handler<GetEngineStatus> for Orchestrator {
    type Result = MessageResult<GetEngineStatus>;

    fn handle(&mut self, _: GetEngineStatus, _: &mut Ctx<Self>) -> Self::Result {
        let runs = &self.nursery.runs;
        MessageResult(EngineStatus {
            open_runs: runs.count(),
            running_steps: runs.running_steps(),
            in_need: runs.in_need(),
            recovered: self.epoch.is_some(),
        })
    }
}
