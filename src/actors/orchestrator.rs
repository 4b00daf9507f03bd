//! Admits runs, starts each as a child of its own, and passes on to it what is asked of it.
//!
//! ```text
//! StartRun -> a seat among those for open runs -> a `Runner`, which makes the run durable and answers
//! SteerRun, GetRun -> the runner of that run; a run that has ended gets one again, if it is to be undone or retried
//! ```
//! Who is open is known to all its lives (`runs`), so that runs go on while it is started anew. The journal is read
//! once for each life of the supervisor of the runs, with whose end they all ended.
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Handler, MessageResult, ResponseFuture};
use tokio::sync::oneshot;
use tracing::{info, warn};
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
use crate::ids::RunId;
use crate::messages::orchestrator::{EngineStatus, GetEngineStatus, GetRun, StartError, StartRun, SteerRun, WatchRun};
use crate::messages::port::AskError;
use crate::messages::store::LoadRun;

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
        unborn.start()
    }

    /// Has a run that ended go on as wished. False: it cannot, or there is no such run.
    async fn reopen(&self, SteerRun { run, wish, by }: SteerRun, epoch: i64) -> Result<bool, StartError> {
        let loaded = self.setting.doors.load.ask(LoadRun(run)).await;
        let loaded = loaded.map_err(|refusal| StartError::NotDurable { detail: refusal.to_string() })?;
        let stored = loaded.map_err(|fault| StartError::NotDurable { detail: fault.to_string() })?;
        let Some(stored) = stored.filter(|stored| stored.outcome.is_some() && stored.node == self.setting.node) else {
            return Ok(false);
        };
        // Somebody else wished the same meanwhile.
        if self.runs.runner(run).is_some() {
            return Ok(false);
        }
        let (open, limit) = self.crowd.occupancy();
        let vacancy = self.crowd.reserve().map_err(|_| StartError::TooMany { open, limit })?;
        let (asker, answer) = oneshot::channel();
        let beginning = Beginning::Reopened { stored: Box::new(stored), trigger: trigger_of(wish, by), asker };
        let begun = self.begin(vacancy, run, epoch, beginning).await;
        begun.map_err(|refusal| StartError::NotDurable { detail: refusal.to_string() })?;
        answer.await.unwrap_or_else(|_| Err(unknown("the run was started again before the database confirmed")))
    }

    /// Starts what the last start, or an earlier life of the supervisor of the runs, left open.
    async fn take_up(&self) -> Recovered {
        let life = self.crowd.epoch();
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
            let (run, mut beginning) = (stored.header.run, Beginning::Stored(Box::new(stored)));
            // An earlier life of the orchestrator may have begun with this.
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
            let (teaching, looking) = (doors.clone(), async move { doors.in_need().await });
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
        let id = RunId(Uuid::now_v7());
        let submission = order.submission.take();
        let key = submission.map(|submission| self.nursery.keys.hold(&order.by, submission, id)).transpose()?;
        let vacancy = self.nursery.crowd.reserve().map_err(|_| {
            let (open, limit) = self.nursery.crowd.occupancy();
            StartError::TooMany { open, limit }
        })?;
        let (submitter, accepted) = oneshot::channel();
        let started = self.nursery.begin(vacancy, id, epoch, Beginning::Accepted { order, key, submitter });
        let answered = async move {
            started.await.map_err(|refusal| StartError::NotDurable { detail: refusal.to_string() })?;
            accepted.await.unwrap_or_else(|_| Err(unknown("the run was started again before the database confirmed")))
        };
        Ok(async move {
            let answered = tokio::time::timeout(CONFIRM, answered).await;
            answered.unwrap_or_else(|_| Err(unknown("the database did not confirm in time")))
        })
    }

    /// Passes a wish on to the runner of the run; one that has ended gets a runner again, if the wish can be about such.
    fn steer(&self, wish: SteerRun) -> Steered {
        let epoch = match self.recovered() {
            Ok(epoch) => epoch,
            Err(not_yet) => return Box::pin(std::future::ready(Err(not_yet))),
        };
        let (nursery, run) = (self.nursery.clone(), wish.run);
        Box::pin(async move {
            let runs = nursery.runs.clone();
            if runs.runner(run).is_none() && wish.wish.reopens() {
                return nursery.reopen(wish, epoch).await;
            }
            let Some(runner) = runs.runner(run) else { return Ok(false) };
            match runner.port::<SteerRun>().ask_within(wish.clone(), CONFIRM + Duration::from_secs(1)).await {
                Ok(steered) => steered,
                // It ended just now.
                Err(AskError::Unavailable { .. }) if runs.let_go_of_ended(run).await => {
                    if wish.wish.reopens() {
                        nursery.reopen(wish, epoch).await
                    } else {
                        Ok(false)
                    }
                }
                Err(refusal) if refusal.certainly_not_executed() => {
                    Err(StartError::NotDurable { detail: refusal.to_string() })
                }
                Err(fault) => Err(unknown(&fault.to_string())),
            }
        })
    }
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
        self.steer(wish)
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
