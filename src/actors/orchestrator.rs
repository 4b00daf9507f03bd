//! Owns every run that has not ended: journals what its state machine decides, then carries it out.
//!
//! ```text
//! StartRun, answers, timers -> Run::advance -> one append -> durable? -> effects: dispatch, stop, wake
//! ```
//! A run has at most one append under way; what is decided meanwhile goes into the next. While the database is away
//! appends are repeated and runs stand still; nothing is answered that is not durable.
use std::collections::HashMap;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Handler, MessageResult, ResponseFuture};
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::actors::context::Ctx;
use crate::actors::engine_doors::{Confirmed, Doors, RETRY};
use crate::actors::open_run::OpenRun;
use crate::actors::run_news::{RunNews, TOGETHER};
use crate::clock;
use crate::ids::{NodeId, RunId};
use crate::messages::agent::RunStep;
use crate::messages::orchestrator::{
    CancelRun, EngineStatus, GetEngineStatus, GetRun, PauseRun, RECOVERY, ResumeRun, StartError, StartRun, WatchRun,
};
use crate::recovery::action::Restraint;
use crate::toolkit::causes::with_causes;
use crate::workflow::advance::{Advance, Effect, Trigger};
use crate::workflow::plan::Priority;
use crate::workflow::record::{StoreError, StoredRun};
use crate::workflow::run::Run;

/// A submission that the database has not confirmed by then is told so; the run itself goes on being tried.
const CONFIRM: Duration = Duration::from_secs(20);

type Steered = ResponseFuture<Result<bool, StartError>>;

fn unknown(detail: &str) -> StartError {
    StartError::NotDurable { detail: format!("{detail}; the outcome is unknown") }
}

pub struct Orchestrator {
    node: NodeId,
    max_open: usize,
    doors: Doors,
    /// None until the store has said which start of this node this is, and the open runs were read.
    epoch: Option<i64>,
    runs: HashMap<RunId, OpenRun>,
    news: RunNews,
    restraint: watch::Receiver<Restraint>,
    /// Runs that are not critical wait.
    holding_back: bool,
}

impl Orchestrator {
    pub fn new(node: NodeId, max_open: usize, doors: Doors, restraint: watch::Receiver<Restraint>) -> Self {
        let news = RunNews::new(doors.feed.clone());
        let holding_back = restraint.borrow().hold_back;
        Orchestrator { node, max_open, doors, news, epoch: None, runs: HashMap::new(), restraint, holding_back }
    }

    /// Has runs wait or go on as it is wished at present, and again at each change of that.
    fn keep_to_restraint(&mut self, ctx: &mut Ctx<Self>) {
        let hold = self.restraint.borrow_and_update().hold_back;
        if hold != self.holding_back {
            self.holding_back = hold;
            let count = self.hold_or_let_go(ctx);
            info!(runs = count, "{count} runs {}", if hold { "wait" } else { "go on" });
        }
        let mut restraint = self.restraint.clone();
        let change = async move { restraint.changed().await };
        ctx.spawn(change.into_actor(self).map(|changed, engine, ctx| {
            // Nobody restrains any more once the sender has gone with the service.
            if changed.is_ok() {
                engine.keep_to_restraint(ctx);
            }
        }));
    }

    /// Reads the journal of what the last start left open, and goes on with it.
    fn recover(&mut self, ctx: &mut Ctx<Self>) {
        let doors = self.doors.clone();
        let reading = async move { doors.read_open().await };
        ctx.spawn(reading.into_actor(self).map(|(epoch, stored), engine, ctx| {
            engine.epoch = Some(epoch);
            let count = stored.len();
            for stored in stored {
                match stored {
                    Ok(stored) => engine.take_up(stored, ctx),
                    Err(damaged) => left_alone(damaged.run, &damaged),
                }
            }
            // What was asked for while the journal was read, or before the last end, holds for these runs too.
            engine.hold_or_let_go(ctx);
            info!(epoch, runs = count, "epoch {epoch} begins with {count} open runs");
            let doors = engine.doors.clone();
            ctx.spawn(async move { doors.teach_ended().await }.into_actor(engine));
        }));
    }

    fn take_up(&mut self, stored: StoredRun, ctx: &mut Ctx<Self>) {
        let id = stored.header.run;
        // A run that this life has accepted already is not replaced by what was read meanwhile.
        if self.runs.contains_key(&id) {
            return;
        }
        match OpenRun::replay(stored) {
            Ok(mut open) => {
                self.doors.teach.hand_over(open.take_lessons());
                let advance = open.run.resume(clock::wall());
                self.runs.insert(id, open);
                self.take(id, advance, ctx);
            }
            Err(fault) => left_alone(id, &fault),
        }
    }

    fn start(
        &mut self,
        StartRun { plan, by }: StartRun,
        ctx: &mut Ctx<Self>,
    ) -> Result<oneshot::Receiver<Result<RunId, StartError>>, StartError> {
        self.check_recovered()?;
        let open = self.runs.len();
        if open >= self.max_open {
            return Err(StartError::TooMany { open, limit: self.max_open });
        }
        let id = RunId(Uuid::now_v7());
        let now = clock::wall();
        let (run, advance) = if self.holding_back && plan.priority() != Priority::Critical {
            Run::accept_paused(id, plan, by, RECOVERY.to_owned(), now)
        } else {
            Run::accept(id, plan, by, now)
        };
        let (accepted, answer) = oneshot::channel();
        self.runs.insert(id, OpenRun::accepted(run, accepted));
        self.take(id, advance, ctx);
        Ok(answer)
    }

    fn check_recovered(&self) -> Result<(), StartError> {
        let detail = || "the journal of the last start is still being read".to_owned();
        self.epoch.map(drop).ok_or_else(|| StartError::NotDurable { detail: detail() })
    }

    /// The answer to one who steers a run: whether that changed something, once it is durable.
    fn steer(&mut self, id: RunId, trigger: Trigger, ctx: &mut Ctx<Self>) -> Steered {
        if let Err(not_yet) = self.check_recovered() {
            return Box::pin(std::future::ready(Err(not_yet)));
        }
        let changed = self.tell(id, trigger.clone(), ctx);
        // One who asks again, since the database did not confirm in time, waits for what he asked for before.
        let steered = self.runs.get_mut(&id).filter(|open| changed || open.is_yet_to_write(&trigger));
        let durable = steered.map(OpenRun::when_durable);
        Box::pin(async move {
            let Some(durable) = durable else { return Ok(changed) };
            match tokio::time::timeout(CONFIRM, durable).await {
                Ok(Ok(())) => Ok(true),
                Ok(Err(_)) => Err(unknown("the engine was restarted before the database confirmed")),
                Err(_) => Err(unknown("the database did not confirm in time")),
            }
        })
    }

    /// False: the run is not open, or the news changed nothing.
    fn tell(&mut self, id: RunId, trigger: Trigger, ctx: &mut Ctx<Self>) -> bool {
        let Some(open) = self.runs.get_mut(&id) else { return false };
        let advance = open.run.advance(trigger, clock::wall());
        let changed = !advance.events.is_empty();
        self.take(id, advance, ctx);
        changed
    }

    /// Has the open runs that are not critical wait, or lets those go on that wait for this reason; says how many.
    fn hold_or_let_go(&mut self, ctx: &mut Ctx<Self>) -> usize {
        let hold = self.holding_back;
        let by = RECOVERY.to_owned();
        let trigger = if hold { Trigger::Pause { by } } else { Trigger::Resume { by } };
        let concerned = |open: &OpenRun| match open.run.paused_by() {
            None => hold && open.run.plan().priority() != Priority::Critical,
            Some(by) => !hold && by == RECOVERY,
        };
        let runs: Vec<RunId> = self.runs.iter().filter(|(_, open)| concerned(open)).map(|(id, _)| *id).collect();
        runs.into_iter().filter(|run| self.tell(*run, trigger.clone(), ctx)).count()
    }

    /// Queues what was decided, and begins to journal it unless an append is under way.
    fn take(&mut self, id: RunId, advance: Advance, ctx: &mut Ctx<Self>) {
        let Some(open) = self.runs.get_mut(&id) else { return };
        open.queue(advance, clock::wall());
        if !open.writing {
            self.write(id, ctx);
        }
    }

    fn write(&mut self, id: RunId, ctx: &mut Ctx<Self>) {
        let (Some(open), Some(epoch)) = (self.runs.get_mut(&id), self.epoch) else { return };
        let append = match open.next_append(&self.node, epoch) {
            Ok(Some(append)) => append,
            Ok(None) => return,
            Err(fault) => return ctx.fail(format!("the events of run {id} cannot be written as JSON: {fault}")),
        };
        open.writing = true;
        let doors = self.doors.clone();
        let rows = append.rows.len();
        let writing = async move { doors.confirm(append).await };
        ctx.spawn(writing.into_actor(self).map(move |confirmed, engine, ctx| engine.written(id, rows, confirmed, ctx)));
    }

    fn written(&mut self, id: RunId, rows: usize, confirmed: Confirmed, ctx: &mut Ctx<Self>) {
        let Some(open) = self.runs.get_mut(&id) else { return };
        match confirmed {
            Ok(appended) => {
                open.writing = false;
                let effects = open.confirmed(rows, &appended);
                if self.news.changed(id) {
                    ctx.run_later(TOGETHER, |engine, _| {
                        let runs = &engine.runs;
                        engine.news.tell(|run| runs.get(&run).and_then(OpenRun::durable));
                    });
                }
                self.doors.teach.hand_over(open.take_lessons());
                for effect in effects {
                    self.perform(id, effect, ctx);
                }
                self.write(id, ctx);
            }
            Err(StoreError::Fenced { .. }) => ctx.fail(format!("another service writes for node {}", self.node)),
            Err(fault) => {
                let detail = fault.to_string();
                if matches!(fault, StoreError::Unknown { .. }) {
                    open.doubt();
                }
                // A run that nobody was promised and that is certainly not stored is simply refused.
                if matches!(fault, StoreError::Unreachable { .. } | StoreError::Refused { .. }) && open.refuse(&detail)
                {
                    self.runs.remove(&id);
                    return;
                }
                warn!(run.id = %id, "run {id} waits for the database: {detail}");
                ctx.run_later(RETRY, move |engine, ctx| {
                    if let Some(open) = engine.runs.get_mut(&id) {
                        open.writing = false;
                    }
                    engine.write(id, ctx);
                });
            }
        }
    }

    fn perform(&mut self, id: RunId, effect: Effect, ctx: &mut Ctx<Self>) {
        let Some(open) = self.runs.get_mut(&id) else { return };
        match effect {
            Effect::Dispatch { step, agent, tool, attempt, input, timeout } => {
                let cancel = open.begin(step.clone(), attempt);
                let deadline = clock::now() + timeout;
                let order =
                    RunStep { run: id, step: step.clone(), attempt, tool, input: (*input).clone(), deadline, cancel };
                let doors = self.doors.clone();
                let dispatched = async move { doors.answer(&agent, order, timeout).await };
                ctx.spawn(dispatched.into_actor(self).map(move |answer, engine, ctx| {
                    if let Some(open) = engine.runs.get_mut(&id) {
                        open.ended(&step, attempt);
                        let advance = open.run.advance(Trigger::Answer { step, attempt, answer }, clock::wall());
                        engine.take(id, advance, ctx);
                    }
                }));
            }
            Effect::Choose { step, task, timeout } => {
                let doors = self.doors.clone();
                let over = open.ended_signal();
                let chosen = async move {
                    tokio::select! {
                        choice = doors.choice(&task, timeout) => Some(choice),
                        () = over => None,
                    }
                };
                ctx.spawn(chosen.into_actor(self).map(move |choice, engine, ctx| {
                    if let (Some(choice), Some(open)) = (choice, engine.runs.get_mut(&id)) {
                        let advance = open.run.advance(Trigger::Chosen { step, choice }, clock::wall());
                        engine.take(id, advance, ctx);
                    }
                }));
            }
            Effect::Stop { step, attempt } => open.stop(&step, attempt),
            Effect::Wake { at } => {
                let wait = (at - clock::wall()).to_std().unwrap_or_default();
                let timer = ctx.run_later(wait, move |engine, ctx| {
                    if let Some(open) = engine.runs.get_mut(&id) {
                        let advance = open.run.advance(Trigger::Wake, clock::wall());
                        engine.take(id, advance, ctx);
                    }
                });
                if let Some(replaced) = open.timer.replace(timer) {
                    ctx.cancel_future(replaced);
                }
            }
            Effect::Finished => {
                if let Some(timer) = open.timer.take() {
                    ctx.cancel_future(timer);
                }
                info!(run.id = %id, status = open.run.status().as_str(), "run {id} ended: {}", open.run.status().as_str());
                if let Some(run) = open.durable() {
                    self.news.ended(run);
                }
                self.runs.remove(&id);
            }
        }
    }
}

/// A run that cannot be taken up stays as it is; what else was open goes on.
fn left_alone(id: RunId, fault: &dyn std::error::Error) {
    error!(
        run.id = %id,
        "run {id} cannot be taken up and stays as it is: {}. Bring the row back from a backup and start the service \
         again, or give the run up: UPDATE ledger.runs SET status = 'failed', finished = now() WHERE run_id = '{id}'",
        with_causes(fault)
    );
}

impl Actor for Orchestrator {
    type Context = Ctx<Self>;
    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.keep_to_restraint(ctx);
        self.recover(ctx);
    }
}

impl Handler<StartRun> for Orchestrator {
    type Result = ResponseFuture<Result<RunId, StartError>>;
    fn handle(&mut self, order: StartRun, ctx: &mut Ctx<Self>) -> Self::Result {
        let begun = self.start(order, ctx);
        Box::pin(async move {
            match tokio::time::timeout(CONFIRM, begun?).await {
                Ok(Ok(accepted)) => accepted,
                Ok(Err(_)) => Err(unknown("the engine was restarted before the database confirmed")),
                Err(_) => Err(unknown("the database did not confirm in time")),
            }
        })
    }
}

impl Handler<GetRun> for Orchestrator {
    type Result = MessageResult<GetRun>;
    fn handle(&mut self, GetRun(id): GetRun, _: &mut Ctx<Self>) -> Self::Result {
        MessageResult(self.runs.get(&id).and_then(OpenRun::shown))
    }
}

impl Handler<WatchRun> for Orchestrator {
    type Result = MessageResult<WatchRun>;
    fn handle(&mut self, WatchRun(id): WatchRun, _: &mut Ctx<Self>) -> Self::Result {
        MessageResult(self.runs.get(&id).map(OpenRun::watch) as Option<watch::Receiver<u64>>)
    }
}

impl Handler<CancelRun> for Orchestrator {
    type Result = Steered;
    fn handle(&mut self, CancelRun { run, by }: CancelRun, ctx: &mut Ctx<Self>) -> Steered {
        self.steer(run, Trigger::Cancel { by }, ctx)
    }
}

impl Handler<PauseRun> for Orchestrator {
    type Result = Steered;
    fn handle(&mut self, PauseRun { run, by }: PauseRun, ctx: &mut Ctx<Self>) -> Steered {
        self.steer(run, Trigger::Pause { by }, ctx)
    }
}

impl Handler<ResumeRun> for Orchestrator {
    type Result = Steered;
    fn handle(&mut self, ResumeRun { run, by }: ResumeRun, ctx: &mut Ctx<Self>) -> Steered {
        self.steer(run, Trigger::Resume { by }, ctx)
    }
}

impl Handler<GetEngineStatus> for Orchestrator {
    type Result = MessageResult<GetEngineStatus>;
    fn handle(&mut self, _: GetEngineStatus, _: &mut Ctx<Self>) -> Self::Result {
        let running_steps = self.runs.values().map(|open| open.run.running_steps()).sum();
        MessageResult(EngineStatus { open_runs: self.runs.len(), running_steps, recovered: self.epoch.is_some() })
    }
}
