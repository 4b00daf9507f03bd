//! One schedule at its work: records what is due, starts it, and follows the runs as far as its rules ask for it.
//!
//! ```text
//! asleep --due, an order, or the end of a run--> a turn: store what is decided -> carry out what waits -> look what
//!    is due -> and again, until nothing is left to be done now -> asleep, on one timer
//! ```
//! A firing is stored before anything is done about it. Its run is submitted with an idempotency key of its own, so
//! that a later life, which finds the firing unsettled, submits it again and is told which run it has started.
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::actors::schedule_ends::until_ended;
use crate::ids::RunId;
use crate::messages::orchestrator::{StartError, StartRun, SteerRun, WatchRun, Wish};
use crate::messages::port::Port;
use crate::messages::schedule_store::{RecordFirings, SettleFiring, StorePause};
use crate::messages::scheduler::{ScheduleError, View};
use crate::messages::store::LoadRun;
use crate::schedules::backlog::backlog;
use crate::schedules::overlap::{Decision, decide, turned_away};
use crate::schedules::record::{Firing, FiringState, Kept, Schedule};
use crate::schedules::rules::Overlap;
use crate::workflow::check::check;
use crate::workflow::submission::Submission;
use crate::workflow::world::World;

/// The label by which the runs of a schedule are found.
const LABEL: &str = "schedule";
/// Between two tries of what failed: at first, and at most.
const RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// The clock on the wall may be put forward while it sleeps: less than what counts as missed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Faults of a workflow that are told; there may be thousands.
const TOLD: usize = 3;

/// Reads the clock on the wall.
pub type Wall = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What a schedule works through.
#[derive(Clone)]
pub struct WorkDoors {
    pub record: Port<RecordFirings>,
    pub settle: Port<SettleFiring>,
    pub pause: Port<StorePause>,
    pub start: Port<StartRun>,
    pub steer: Port<SteerRun>,
    pub watch: Port<WatchRun>,
    pub load_run: Port<LoadRun>,
    pub world: Arc<World>,
    pub wall: Wall,
}

/// What a person has a schedule do.
pub enum Order {
    Pause {
        paused: bool,
        told: oneshot::Sender<Result<(), ScheduleError>>,
    },
    Run {
        by: String,
        told: Told,
    },
    /// It is about to be deleted: it settles what it has begun, and ends.
    End {
        told: oneshot::Sender<()>,
    },
}

type Told = oneshot::Sender<Result<Firing, ScheduleError>>;

/// Decided, and repeated as it is until it is durable.
enum Change {
    Record { firings: Vec<Firing>, next_due: Option<DateTime<Utc>> },
    Settle(Firing),
}

pub struct Keeper {
    doors: WorkDoors,
    schedule: Schedule,
    orders: mpsc::Receiver<Order>,
    view: watch::Sender<View>,
    unstored: VecDeque<Change>,
    /// Stored and not settled, oldest first.
    waiting: VecDeque<Firing>,
    open: BTreeSet<RunId>,
    ends: FuturesUnordered<BoxFuture<'static, RunId>>,
    cancelled: BTreeSet<RunId>,
    asked: Vec<(DateTime<Utc>, Told)>,
    last: Option<Firing>,
    trouble: Option<String>,
}

/// How a schedule stands that nothing was done about yet.
pub fn view_of(kept: &Kept) -> View {
    View {
        schedule: kept.schedule.clone(),
        waiting: kept.due.len(),
        open: kept.open.clone(),
        last: kept.last.clone(),
        trouble: None,
    }
}

impl Keeper {
    pub fn new(doors: WorkDoors, kept: Kept, orders: mpsc::Receiver<Order>, view: watch::Sender<View>) -> Self {
        let Kept { schedule, due, open, last } = kept;
        let mut keeper = Keeper {
            doors,
            schedule,
            orders,
            view,
            unstored: VecDeque::new(),
            waiting: due.into(),
            open: BTreeSet::new(),
            ends: FuturesUnordered::new(),
            cancelled: BTreeSet::new(),
            asked: Vec::new(),
            last,
            trouble: None,
        };
        open.into_iter().for_each(|run| keeper.follow(run));
        keeper
    }

    /// Works until it is told to end.
    pub async fn work(mut self) {
        let mut pause = RETRY;
        loop {
            let trouble = self.turn().await.err();
            let sleep = match &trouble {
                None => self.until_due(),
                Some(_) => pause,
            };
            pause = if trouble.is_some() { (2 * pause).min(LONGEST_RETRY) } else { RETRY };
            self.note(trouble);
            self.answer();
            self.publish();
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Pause { paused, told }) => {
                        let done = self.pause(paused).await;
                        self.publish();
                        tell(told, done);
                    }
                    Some(Order::Run { by, told }) => self.order(by, told),
                    Some(Order::End { told }) => return tell(told, ()),
                    None => return,
                },
                Some(run) = self.ends.next() => {
                    self.open.remove(&run);
                    self.cancelled.remove(&run);
                }
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Does all that can be done now. An error is what stands in the way; then it is tried again.
    async fn turn(&mut self) -> Result<(), String> {
        loop {
            self.store().await?;
            if !self.carry_out().await? && !self.look() {
                return Ok(());
            }
        }
    }

    /// Makes durable what was decided, in order.
    async fn store(&mut self) -> Result<(), String> {
        while let Some(change) = self.unstored.front() {
            let id = self.schedule.id;
            match change {
                Change::Record { firings, next_due } => {
                    let record = RecordFirings { id, firings: firings.clone(), next_due: *next_due };
                    let asked = self.doors.record.ask(record).await.map_err(|refusal| refusal.lasting_text())?;
                    let due = asked.map_err(|fault| fault.to_string())?;
                    let Some(Change::Record { firings, .. }) = self.unstored.pop_front() else { continue };
                    for firing in firings {
                        match firing.state {
                            FiringState::Due if due.contains(&firing.due) => self.waiting.push_back(firing),
                            FiringState::Due => {}
                            _ => self.settled(firing),
                        }
                    }
                }
                Change::Settle(firing) => {
                    let settle = SettleFiring { id, name: self.schedule.name.clone(), firing: firing.clone() };
                    let asked = self.doors.settle.ask(settle).await.map_err(|refusal| refusal.lasting_text())?;
                    asked.map_err(|fault| fault.to_string())?;
                    let Some(Change::Settle(firing)) = self.unstored.pop_front() else { continue };
                    self.settled(firing);
                }
            }
        }
        Ok(())
    }

    /// Decides about the oldest firing that waits. False: there is none, or it has to wait on.
    async fn carry_out(&mut self) -> Result<bool, String> {
        // A pause does not hold up what a person orders.
        let may = |firing: &Firing| !self.schedule.paused || firing.ordered_by.is_some();
        let Some(at) = self.waiting.iter().position(may) else { return Ok(false) };
        let behind = self.waiting.len() - at - 1;
        match decide(self.schedule.rules.overlap, self.open.len(), behind) {
            Decision::Start => self.start(at).await?,
            Decision::Skip(why) => self.settle(at, FiringState::Skipped, None, Some(why)),
            Decision::Wait => return Ok(false),
            Decision::CancelAndWait => {
                self.cancel_open().await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn start(&mut self, at: usize) -> Result<(), String> {
        let schedule = &self.schedule;
        let plan = match check(&schedule.workflow, &self.doors.world) {
            Ok(plan) => plan.labelled(LABEL, schedule.name.as_str()),
            Err(faults) => {
                let told: Vec<String> = faults.iter().take(TOLD).map(ToString::to_string).collect();
                let why = format!("its workflow is not valid any more: {}", told.join("; "));
                warn!(schedule = %schedule.name, "schedule {} starts nothing: {why}", schedule.name);
                self.settle(at, FiringState::Failed, None, Some(why));
                return Ok(());
            }
        };
        let key = schedule.key(self.waiting[at].due).map_err(|bad| bad.to_string())?;
        let submission = Some(Submission::new(key, &schedule.workflow));
        let order = StartRun { plan, by: schedule.principal(), carried: Vec::new(), submission, child: None };
        let run = match self.doors.start.ask(order).await {
            Ok(Ok(run) | Err(StartError::KeyTaken { run, .. })) => run,
            Ok(Err(refusal)) => return Err(refusal.to_string()),
            Err(refusal) => return Err(refusal.lasting_text()),
        };
        self.follow(run);
        self.settle(at, FiringState::Started, Some(run), None);
        Ok(())
    }

    async fn cancel_open(&mut self) -> Result<(), String> {
        for run in self.open.difference(&self.cancelled).copied().collect::<Vec<_>>() {
            let steer = SteerRun { run, wish: Wish::Cancel { undo: false }, by: self.schedule.principal() };
            let asked = self.doors.steer.ask(steer).await.map_err(|refusal| refusal.lasting_text())?;
            // False: it has ended by itself, which is told soon.
            asked.map_err(|refusal| refusal.to_string())?;
            self.cancelled.insert(run);
        }
        Ok(())
    }

    /// Finds out what is due, and has it stored. False: nothing is.
    fn look(&mut self) -> bool {
        let (Some(due), false) = (self.schedule.next_due, self.schedule.paused) else { return false };
        let owed = backlog(&self.schedule.rules, due, self.schedule.created, (self.doors.wall)());
        if owed.fire.is_empty() && owed.missed.is_none() && owed.next == Some(due) {
            return false;
        }
        let mut firings = Vec::with_capacity(owed.fire.len() + 1);
        if let Some(missed) = owed.missed {
            let name = &self.schedule.name;
            let why = format!("from {} to {}: {}", missed.first.to_rfc3339(), missed.last.to_rfc3339(), missed.why);
            info!(schedule = %name, "schedule {name} leaves out what was due {why}");
            firings.push(Firing { state: FiringState::Missed, detail: Some(why), ..Firing::new(missed.last) });
        }
        for (at, due) in owed.fire.into_iter().enumerate() {
            firings.push(self.admitted(Firing::new(due), at));
        }
        self.schedule.next_due = owed.next;
        self.unstored.push_back(Change::Record { firings, next_due: owed.next });
        true
    }

    /// A new firing, skipped if too many wait; `more`: new ones before it.
    fn admitted(&self, firing: Firing, more: usize) -> Firing {
        match turned_away(self.schedule.rules.overlap, self.waiting.len() + more) {
            Some(why) => Firing { state: FiringState::Skipped, detail: Some(why), ..firing },
            None => firing,
        }
    }

    fn order(&mut self, by: String, told: Told) {
        let due = (self.doors.wall)();
        let firing = self.admitted(Firing { ordered_by: Some(by), ..Firing::new(due) }, 0);
        let next_due = self.schedule.next_due;
        self.unstored.push_back(Change::Record { firings: vec![firing], next_due });
        self.asked.push((due, told));
    }

    async fn pause(&mut self, paused: bool) -> Result<(), ScheduleError> {
        let schedule = &self.schedule;
        if schedule.paused == paused {
            return Ok(());
        }
        self.store().await.map_err(|detail| ScheduleError::NotDurable { detail })?;
        let schedule = &self.schedule;
        // What was due meanwhile was not wanted.
        let next_due = match paused {
            true => schedule.next_due,
            false => schedule.rules.next((self.doors.wall)(), schedule.created),
        };
        let asked = self.doors.pause.ask(StorePause { id: schedule.id, paused, next_due }).await;
        asked.map_err(|refusal| ScheduleError::NotDurable { detail: refusal.to_string() })??;
        self.schedule.paused = paused;
        self.schedule.next_due = next_due;
        Ok(())
    }

    /// Takes a firing off those that wait.
    fn settle(&mut self, at: usize, state: FiringState, run: Option<RunId>, detail: Option<String>) {
        if let Some(firing) = self.waiting.remove(at) {
            self.unstored.push_back(Change::Settle(Firing { state, run, detail, ..firing }));
        }
    }

    fn settled(&mut self, firing: Firing) {
        if let Some(at) = self.asked.iter().position(|(due, _)| *due == firing.due) {
            tell(self.asked.swap_remove(at).1, Ok(firing.clone()));
        }
        if self.last.as_ref().is_none_or(|last| last.due <= firing.due) {
            self.last = Some(firing);
        }
    }

    /// Those whose orders could not be settled in this turn are told how these stand.
    fn answer(&mut self) {
        for (due, told) in self.asked.drain(..) {
            let decided = self.unstored.iter().find_map(|change| match change {
                Change::Settle(firing) if firing.due == due => Some(firing),
                _ => None,
            });
            let firing = decided.or_else(|| self.waiting.iter().find(|firing| firing.due == due));
            let detail = || self.trouble.clone().unwrap_or_else(|| "another firing has the same time".to_owned());
            tell(told, firing.cloned().ok_or_else(|| ScheduleError::NotDurable { detail: detail() }));
        }
    }

    /// Where runs may overlap it does not matter when one ends.
    fn follow(&mut self, run: RunId) {
        if self.schedule.rules.overlap != Overlap::Allow && self.open.insert(run) {
            let (watch, load) = (self.doors.watch.clone(), self.doors.load_run.clone());
            self.ends.push(Box::pin(until_ended(watch, load, run)));
        }
    }

    fn until_due(&self) -> Duration {
        let due = self.schedule.next_due.filter(|_| !self.schedule.paused);
        // An order or the end of a run wakes it all the same.
        let Some(due) = due else { return Duration::from_secs(86_400) };
        // Past already, or nearly: the timer does not know less than a millisecond.
        let left = (due - (self.doors.wall)()).to_std().unwrap_or_default();
        left.clamp(Duration::from_millis(1), LONGEST_SLEEP)
    }

    fn note(&mut self, trouble: Option<String>) {
        let name = &self.schedule.name;
        match (&trouble, &self.trouble) {
            (Some(new), old) if old.as_ref() != Some(new) => {
                warn!(schedule = %name, "schedule {name} cannot go on, and tries again: {new}");
            }
            (None, Some(_)) => info!(schedule = %name, "schedule {name} goes on"),
            _ => {}
        }
        self.trouble = trouble;
    }

    fn publish(&self) {
        self.view.send_replace(View {
            schedule: self.schedule.clone(),
            waiting: self.waiting.len(),
            open: self.open.iter().copied().collect(),
            last: self.last.clone(),
            trouble: self.trouble.clone(),
        });
    }
}

fn tell<T>(told: oneshot::Sender<T>, answer: T) {
    if told.send(answer).is_err() {
        info!("who asked for something of a schedule has not waited for the answer");
    }
}

#[cfg(test)]
#[path = "schedule_keeper_tests.rs"]
mod tests;
