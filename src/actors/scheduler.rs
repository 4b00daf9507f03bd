//! Keeps the schedules: reads them at its start, has each of them kept (`schedule_keeper`), and passes on what is asked.
use std::collections::BTreeMap;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Handler, MessageResult, ResponseActFuture};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};
use uuid::Uuid;

use crate::actors::context::Ctx;
use crate::actors::schedule_keeper::{Keeper, Order, WorkDoors, view_of};
use crate::actors::scribe::{Deed, Scribe};
use crate::ids::ScheduleName;
use crate::messages::port::Port;
use crate::messages::schedule_store::{DropSchedule, InsertSchedule, LoadSchedules};
use crate::messages::scheduler::{
    CreateSchedule, DeleteSchedule, GetSchedule, ListSchedules, PauseSchedule, RunSchedule, ScheduleError, View,
};
use crate::schedules::record::{Firing, FiringState, Kept, NewSchedule, Schedule};

/// How many there may be.
const MOST: usize = 1_000;
/// Orders to one schedule that may wait.
const QUEUE: usize = 16;
/// Between two tries to read the schedules.
const RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// What the scheduler works through.
#[derive(Clone)]
pub struct SchedulerDoors {
    pub load: Port<LoadSchedules>,
    pub insert: Port<InsertSchedule>,
    pub drop: Port<DropSchedule>,
    pub work: WorkDoors,
    pub scribe: Scribe,
}

pub struct Scheduler {
    doors: SchedulerDoors,
    /// None until they have been read.
    kept: Option<BTreeMap<ScheduleName, Handle>>,
    /// Counts those that were deleted: what was read before tells of them.
    deleted: u64,
}

/// A schedule that is being kept.
#[derive(Clone)]
struct Handle {
    id: Uuid,
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<View>,
}

impl Handle {
    fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Has it do as ordered, and waits for its answer.
    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, ScheduleError> {
        let (told, answer) = oneshot::channel();
        let gone = || ScheduleError::NoSuch(self.view.borrow().schedule.name.to_string());
        self.orders.send(order(told)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

impl Scheduler {
    pub fn new(doors: SchedulerDoors) -> Self {
        Scheduler { doors, kept: None, deleted: 0 }
    }

    fn read(&mut self, ctx: &mut Ctx<Self>) {
        let (load, deleted) = (self.doors.load.clone(), self.deleted);
        ctx.spawn(read(load).into_actor(self).map(move |all, scheduler, ctx| {
            if scheduler.deleted != deleted {
                return scheduler.read(ctx);
            }
            let is_first = scheduler.kept.is_none();
            scheduler.kept.get_or_insert_default();
            let count = all.len();
            all.into_iter().for_each(|kept| scheduler.keep(kept, ctx));
            if is_first && count > 0 {
                info!(count, "{count} schedules are kept");
            }
        }));
    }

    /// Has a schedule kept, unless it is.
    fn keep(&mut self, kept: Kept, ctx: &mut Ctx<Self>) {
        let Some(all) = &mut self.kept else { return };
        let (name, id) = (kept.schedule.name.clone(), kept.schedule.id);
        if all.contains_key(&name) {
            return;
        }
        let (orders, ordered) = mpsc::channel(QUEUE);
        let (publish, view) = watch::channel(view_of(&kept));
        all.insert(name, Handle { id, orders, view });
        let keeper = Keeper::new(self.doors.work.clone(), kept, ordered, publish);
        ctx.spawn(keeper.work().into_actor(self));
    }

    fn all(&self) -> Result<&BTreeMap<ScheduleName, Handle>, ScheduleError> {
        self.kept.as_ref().ok_or(ScheduleError::NotRead)
    }

    fn find(&self, which: &str) -> Result<Handle, ScheduleError> {
        let all = self.all()?;
        let by_name = ScheduleName::new(which).ok().and_then(|name| all.get(&name));
        let by_id = || which.parse().ok().and_then(|id: Uuid| all.values().find(|handle| handle.id == id));
        by_name.or_else(by_id).cloned().ok_or_else(|| ScheduleError::NoSuch(which.to_owned()))
    }

    fn made(&self, CreateSchedule { new, by }: CreateSchedule) -> Result<Schedule, ScheduleError> {
        let all = self.all()?;
        let NewSchedule { name, workflow, rules, paused } = new;
        if all.contains_key(&name) {
            return Err(ScheduleError::NameTaken(name));
        }
        if all.len() >= MOST {
            return Err(ScheduleError::TooMany(MOST));
        }
        let created = (self.doors.work.wall)();
        let next_due = rules.next(created, created);
        Ok(Schedule { id: Uuid::now_v7(), name, workflow, rules, paused, created, created_by: by, next_due })
    }
}

/// The schedules that are stored, as soon as the database can tell.
async fn read(load: Port<LoadSchedules>) -> Vec<Kept> {
    let (mut pause, mut told) = (RETRY, String::new());
    loop {
        let fault = match load.ask(LoadSchedules).await {
            Ok(Ok(kept)) => return kept,
            Ok(Err(fault)) => fault.to_string(),
            Err(refusal) => refusal.lasting_text(),
        };
        if fault != told {
            warn!("the schedules cannot be read yet, and are asked for again: {fault}");
            told = fault;
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_RETRY);
    }
}

async fn insert(door: Port<InsertSchedule>, schedule: Schedule) -> Result<Kept, ScheduleError> {
    let asked = door.ask(InsertSchedule(schedule.clone())).await;
    match asked.map_err(|refusal| ScheduleError::NotDurable { detail: refusal.to_string() })?? {
        true => Ok(Kept { schedule, due: Vec::new(), open: Vec::new(), last: None }),
        false => Err(ScheduleError::NameTaken(schedule.name)),
    }
}

async fn drop_stored(door: Port<DropSchedule>, schedule: &Schedule) -> Result<(), ScheduleError> {
    let asked = door.ask(DropSchedule { id: schedule.id, name: schedule.name.clone() }).await;
    Ok(asked.map_err(|refusal| ScheduleError::NotDurable { detail: refusal.to_string() })??)
}

fn deed(by: String, op: &'static str, view: &View, detail: String) -> Deed {
    Deed { actor: by, op, subject: format!("schedule/{}", view.schedule.name), outcome: "ok", detail: Some(detail) }
}

impl Actor for Scheduler {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.read(ctx);
    }
}

impl Handler<CreateSchedule> for Scheduler {
    type Result = ResponseActFuture<Self, Result<View, ScheduleError>>;

    fn handle(&mut self, asked: CreateSchedule, _: &mut Ctx<Self>) -> Self::Result {
        let (by, made, door) = (asked.by.clone(), self.made(asked), self.doors.insert.clone());
        let stored = async move { insert(door, made?).await };
        let kept = stored.into_actor(self).map(|stored, scheduler, ctx| match stored {
            Ok(kept) => {
                let view = view_of(&kept);
                scheduler.keep(kept, ctx);
                Ok(view)
            }
            Err(fault) => {
                // Its row may be there though nobody knows of it.
                if !matches!(fault, ScheduleError::NotRead | ScheduleError::TooMany(_)) {
                    scheduler.read(ctx);
                }
                Err(fault)
            }
        });
        let scribe = self.doors.scribe.clone();
        Box::pin(kept.then(move |kept, scheduler, _| {
            let noted = async move {
                let view = kept?;
                let rules = view.schedule.rules.to_json();
                scribe.note_or_later(deed(by, "schedule.created", &view, rules.to_string())).await;
                Ok(view)
            };
            noted.into_actor(scheduler)
        }))
    }
}

impl Handler<ListSchedules> for Scheduler {
    type Result = MessageResult<ListSchedules>;

    fn handle(&mut self, ListSchedules: ListSchedules, _: &mut Ctx<Self>) -> Self::Result {
        MessageResult(self.all().map(|all| all.values().map(Handle::view).collect()))
    }
}

impl Handler<GetSchedule> for Scheduler {
    type Result = MessageResult<GetSchedule>;

    fn handle(&mut self, GetSchedule(which): GetSchedule, _: &mut Ctx<Self>) -> Self::Result {
        MessageResult(self.find(&which).map(|handle| handle.view()))
    }
}

impl Handler<PauseSchedule> for Scheduler {
    type Result = ResponseActFuture<Self, Result<View, ScheduleError>>;

    fn handle(&mut self, PauseSchedule { which, paused, by }: PauseSchedule, _: &mut Ctx<Self>) -> Self::Result {
        let (found, scribe) = (self.find(&which), self.doors.scribe.clone());
        let pausing = async move {
            let handle = found?;
            handle.ask(|told| Order::Pause { paused, told }).await??;
            let (op, view) = (if paused { "schedule.paused" } else { "schedule.resumed" }, handle.view());
            let next = view.schedule.next_due.filter(|_| !paused).map(|due| due.to_rfc3339());
            let detail = format!("next due: {}", next.as_deref().unwrap_or("not at all"));
            scribe.note_or_later(deed(by, op, &view, detail)).await;
            Ok(view)
        };
        Box::pin(pausing.into_actor(self))
    }
}

impl Handler<RunSchedule> for Scheduler {
    type Result = ResponseActFuture<Self, Result<(View, Firing), ScheduleError>>;

    fn handle(&mut self, RunSchedule { which, by }: RunSchedule, _: &mut Ctx<Self>) -> Self::Result {
        let (found, scribe) = (self.find(&which), self.doors.scribe.clone());
        let running = async move {
            let handle = found?;
            let firing = handle.ask(|told| Order::Run { by: by.clone(), told }).await??;
            let view = handle.view();
            let detail = match (firing.state, firing.run) {
                (FiringState::Started, Some(run)) => format!("started run {run}"),
                (state, _) => format!("{}: {}", state.as_str(), firing.detail.as_deref().unwrap_or("it waits")),
            };
            scribe.note_or_later(deed(by, "schedule.run_ordered", &view, detail)).await;
            Ok((view, firing))
        };
        Box::pin(running.into_actor(self))
    }
}

impl Handler<DeleteSchedule> for Scheduler {
    type Result = ResponseActFuture<Self, Result<View, ScheduleError>>;

    fn handle(&mut self, DeleteSchedule { which, by }: DeleteSchedule, _: &mut Ctx<Self>) -> Self::Result {
        let (found, door, scribe) = (self.find(&which), self.doors.drop.clone(), self.doors.scribe.clone());
        let ended = async move {
            let handle = found?;
            handle.ask(|told| Order::End { told }).await?;
            Ok((handle.view(), drop_stored(door, &handle.view().schedule).await))
        };
        let deleted = ended.into_actor(self).map(|ended: Result<_, ScheduleError>, scheduler, ctx| {
            let (view, dropped) = ended?;
            scheduler.deleted += 1;
            if let Some(all) = &mut scheduler.kept {
                all.remove(&view.schedule.name);
            }
            // Its row may be there still; then it is kept again.
            if dropped.is_err() {
                scheduler.read(ctx);
            }
            dropped.map(|()| view)
        });
        Box::pin(deleted.then(move |deleted, scheduler, _| {
            let noted = async move {
                let view = deleted?;
                scribe.note_or_later(deed(by, "schedule.deleted", &view, "its runs go on".to_owned())).await;
                Ok(view)
            };
            noted.into_actor(scheduler)
        }))
    }
}
