//! Schedules at work under paused time: the database and the engine are ports to functions over one shared state.
use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use super::*;
use crate::clock;
use crate::ids::{AgentId, ScheduleName, ToolId};
use crate::messages::orchestrator::Progress;
use crate::messages::port::AskError;
use crate::schedules::read::read_rules;
use crate::workflow::record::StoreError;
use crate::workflow::step::ToolFacts;
use crate::workflow::world::AgentFacts;

/// What is durable, what runs, and what is out of order.
#[derive(Default)]
struct Outside {
    rows: BTreeMap<DateTime<Utc>, Firing>,
    schedule: Option<Schedule>,
    /// The run of each key.
    keys: BTreeMap<String, RunId>,
    open: HashMap<RunId, watch::Sender<Progress>>,
    cancelled: Vec<RunId>,
    store_is_away: bool,
    /// Runs are started, and nobody is told.
    answers_are_lost: bool,
    settling_fails: bool,
}

struct Bench {
    outside: Arc<Mutex<Outside>>,
    doors: WorkDoors,
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<View>,
    keeper: tokio::task::JoinHandle<()>,
}

fn zero() -> DateTime<Utc> {
    "2026-06-01T00:00:00Z".parse().expect("a time")
}

fn at(second: i64) -> DateTime<Utc> {
    zero() + TimeDelta::seconds(second)
}

fn world() -> World {
    let tool = ToolId::new("cp.echo").expect("id");
    let facts = ToolFacts { repeatable: true, needs_evidence: false, learn: false, changes: false };
    let agent = AgentFacts { tools: vec![tool.clone()], timeout: Duration::from_secs(30) };
    World {
        agents: [(AgentId::new("TESTBED").expect("id"), agent)].into(),
        tools: [(tool, facts)].into(),
        ..World::default()
    }
}

fn doors(outside: &Arc<Mutex<Outside>>, away: u64) -> WorkDoors {
    let (begun, away) = (clock::now(), Duration::from_secs(away));
    let is_away = || Err(StoreError::Unreachable { detail: "away".to_owned() });
    let of = || Arc::clone(outside);
    let (record, settle, pause, start, steer, looked) = (of(), of(), of(), of(), of(), of());
    WorkDoors {
        record: Port::answering(move |RecordFirings { firings, next_due, .. }| {
            let mut outside = record.lock();
            if outside.store_is_away {
                return Ok(is_away());
            }
            let dues: Vec<_> = firings.iter().map(|firing| firing.due).collect();
            for firing in firings {
                outside.rows.entry(firing.due).or_insert(firing);
            }
            outside.schedule.as_mut().expect("kept").next_due = next_due;
            Ok(Ok(dues.into_iter().filter(|due| outside.rows[due].state == FiringState::Due).collect()))
        }),
        settle: Port::answering(move |SettleFiring { firing, .. }| {
            let mut outside = settle.lock();
            if outside.store_is_away || outside.settling_fails {
                return Ok(is_away().map(drop::<Vec<DateTime<Utc>>>));
            }
            outside.rows.insert(firing.due, firing);
            Ok(Ok(()))
        }),
        pause: Port::answering(move |StorePause { paused, next_due, .. }| {
            let mut outside = pause.lock();
            let schedule = outside.schedule.as_mut().expect("kept");
            (schedule.paused, schedule.next_due) = (paused, next_due);
            Ok(Ok(()))
        }),
        start: Port::answering(move |order: StartRun| {
            let mut outside = start.lock();
            assert_eq!((order.by.as_str(), order.plan.labels()["schedule"].as_str()), ("schedule:tick", "tick"));
            let key = order.submission.expect("a key").key.to_string();
            if let Some(run) = outside.keys.get(&key) {
                return Ok(Err(StartError::KeyTaken { run: *run, same: true }));
            }
            let run = RunId(Uuid::now_v7());
            outside.keys.insert(key, run);
            outside.open.insert(run, watch::Sender::new(Progress::default()));
            if outside.answers_are_lost { Err(AskError::Lost) } else { Ok(Ok(run)) }
        }),
        steer: Port::answering(move |wish: SteerRun| {
            let mut outside = steer.lock();
            outside.cancelled.push(wish.run);
            outside.open.remove(&wish.run);
            Ok(Ok(true))
        }),
        watch: Port::answering(move |WatchRun(run)| Ok(looked.lock().open.get(&run).map(watch::Sender::subscribe))),
        load_run: Port::answering(|_| Ok(Ok(None))),
        world: Arc::new(world()),
        wall: Arc::new(move || zero() + TimeDelta::from_std(clock::now() - begun + away).expect("short")),
    }
}

impl Bench {
    /// A schedule that was made at 0 s and is due every 10 s; it is 0 s, or later, by how long it has been `away`.
    fn of(rules: serde_json::Value, away: u64) -> Self {
        let mut document = json!({ "every": "10s" });
        document.as_object_mut().expect("object").extend(rules.as_object().expect("object").clone());
        let rules = read_rules(&document, zero()).expect("rules");
        let next_due = rules.next(zero(), zero());
        let name = ScheduleName::new("tick").expect("a name");
        let (workflow, created_by) = (json!({ "agents": ["TESTBED"] }), "token:a".to_owned());
        let (id, created, paused) = (Uuid::nil(), zero(), false);
        let schedule = Schedule { id, name, workflow, rules, paused, created, created_by, next_due };
        let outside = Outside { schedule: Some(schedule), ..Outside::default() };
        let outside = Arc::new(Mutex::new(outside));
        let doors = doors(&outside, away);
        Bench::begin(outside, doors)
    }

    /// With what the database holds.
    fn begin(outside: Arc<Mutex<Outside>>, doors: WorkDoors) -> Self {
        let kept = {
            let outside = outside.lock();
            let due = outside.rows.values().filter(|firing| firing.state == FiringState::Due).cloned().collect();
            let open = outside.rows.values().filter_map(|firing| firing.run);
            let open = open.filter(|run| outside.open.contains_key(run)).collect();
            Kept { schedule: outside.schedule.clone().expect("kept"), due, open, last: None }
        };
        let (orders, ordered) = mpsc::channel(4);
        let (publish, view) = watch::channel(view_of(&kept));
        let keeper = tokio::spawn(Keeper::new(doors.clone(), kept, ordered, publish).work());
        Bench { outside, doors, orders, view, keeper }
    }

    /// As `kill -9` and a new start.
    fn again(self) -> Self {
        self.keeper.abort();
        Bench::begin(self.outside, self.doors)
    }

    /// Firings by second and state, and how many runs there ever were.
    fn check(&self, expected: &[(i64, FiringState)], runs: usize) {
        let outside = self.outside.lock();
        let found: Vec<_> = outside.rows.values().map(|f| ((f.due - zero()).num_seconds(), f.state)).collect();
        assert_eq!(found, expected);
        assert_eq!(outside.keys.len(), runs);
    }

    fn end_run(&self) {
        let mut outside = self.outside.lock();
        let run = outside.open.keys().next().copied().expect("an open run");
        outside.open.remove(&run);
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> T {
        let (told, answer) = oneshot::channel();
        assert!(self.orders.send(order(told)).await.is_ok(), "it works");
        answer.await.expect("an answer")
    }

    async fn run_now(&self) -> Result<Firing, ScheduleError> {
        self.ask(|told| Order::Run { by: "token:b".to_owned(), told }).await
    }
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

use FiringState::{Missed, Skipped, Started};

#[tokio::test(start_paused = true)]
async fn each_time_starts_one_run_when_it_is_due() {
    let bench = Bench::of(json!({ "overlap": "allow" }), 0);
    seconds(9).await;
    bench.check(&[], 0);
    seconds(26).await;
    bench.check(&[(10, Started), (20, Started), (30, Started)], 3);
    assert_eq!(bench.view.borrow().last.as_ref().map(|last| last.due), Some(at(30)));
}

#[tokio::test(start_paused = true)]
async fn an_open_run_is_met_as_the_rule_says() {
    let bench = Bench::of(json!({ "overlap": "skip" }), 0);
    seconds(25).await;
    bench.check(&[(10, Started), (20, Skipped)], 1);
    bench.end_run();
    seconds(10).await;
    bench.check(&[(10, Started), (20, Skipped), (30, Started)], 2);

    let bench = Bench::of(json!({ "overlap": "queue" }), 0);
    seconds(35).await;
    bench.check(&[(10, Started), (20, FiringState::Due), (30, FiringState::Due)], 1);
    assert_eq!(bench.view.borrow().waiting, 2);
    bench.end_run();
    seconds(1).await;
    bench.check(&[(10, Started), (20, Started), (30, FiringState::Due)], 2);

    let bench = Bench::of(json!({ "overlap": "cancel_previous" }), 0);
    seconds(25).await;
    bench.check(&[(10, Started), (20, Started)], 2);
    let outside = bench.outside.lock();
    assert_eq!((outside.cancelled.len(), outside.open.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_made_up_for_as_the_rule_says() {
    let all: Vec<_> = (1..=20).map(|n| (10 * n, Started)).collect();
    for (rule, away, expected, runs) in [
        // The newest is in time still, and no matter of making up.
        ("skip", 295, vec![(280, Missed), (290, Started)], 1),
        ("one", 205, vec![(190, Missed), (200, Started)], 1),
        ("all", 205, all, 20),
    ] {
        let bench = Bench::of(json!({ "overlap": "allow", "catch_up": rule }), away);
        seconds(1).await;
        bench.check(&expected, runs);
    }
}

#[tokio::test(start_paused = true)]
async fn a_firing_that_a_crash_left_unsettled_starts_no_second_run() {
    for lost in [true, false] {
        let bench = Bench::of(json!({ "overlap": "allow" }), 0);
        {
            let mut outside = bench.outside.lock();
            (outside.answers_are_lost, outside.settling_fails) = (lost, !lost);
        }
        seconds(10).await;
        sleep(Duration::from_millis(10)).await;
        bench.check(&[(10, FiringState::Due)], 1);
        let bench = bench.again();
        {
            let mut outside = bench.outside.lock();
            (outside.answers_are_lost, outside.settling_fails) = (false, false);
        }
        seconds(5).await;
        bench.check(&[(10, Started)], 1);
        let outside = bench.outside.lock();
        assert_eq!(outside.rows[&at(10)].run, outside.keys.values().next().copied());
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_life_knows_what_runs_and_what_waits() {
    let bench = Bench::of(json!({ "overlap": "queue" }), 0);
    seconds(25).await;
    let bench = bench.again();
    seconds(2).await;
    bench.check(&[(10, Started), (20, FiringState::Due)], 1);
    bench.end_run();
    seconds(1).await;
    bench.check(&[(10, Started), (20, Started)], 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_that_is_not_durable_and_the_trouble_is_told() {
    let bench = Bench::of(json!({}), 0);
    bench.outside.lock().store_is_away = true;
    seconds(19).await;
    bench.check(&[], 0);
    assert!(bench.view.borrow().trouble.as_deref().is_some_and(|why| why.contains("away")));
    let refused = bench.run_now().await.expect_err("it is not durable");
    assert!(matches!(refused, ScheduleError::NotDurable { .. }), "{refused}");
    bench.outside.lock().store_is_away = false;
    seconds(31).await;
    assert_eq!(bench.outside.lock().rows[&at(10)].state, Started);
    assert_eq!(bench.view.borrow().trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_paused_schedule_starts_only_what_is_ordered() {
    let bench = Bench::of(json!({}), 0);
    let pause = async |paused| bench.ask(|told| Order::Pause { paused, told }).await;
    pause(true).await.expect("paused");
    seconds(35).await;
    bench.check(&[], 0);
    let ordered = bench.run_now().await.expect("it is run");
    assert_eq!((ordered.state, ordered.ordered_by.as_deref()), (Started, Some("token:b")));
    bench.end_run();
    pause(false).await.expect("resumed");
    assert_eq!(bench.view.borrow().schedule.next_due, Some(at(40)), "what was due meanwhile was not wanted");
    seconds(6).await;
    bench.check(&[(35, Started), (40, Started)], 2);
}

#[tokio::test(start_paused = true)]
async fn an_order_is_answered_with_what_came_of_it() {
    let bench = Bench::of(json!({ "overlap": "skip" }), 0);
    let first = bench.run_now().await.expect("it is run");
    assert!(first.state == Started && first.run.is_some(), "{first:?}");
    seconds(1).await;
    let second = bench.run_now().await.expect("it is answered");
    assert_eq!((second.state, second.run), (Skipped, None));

    let bench = Bench::of(json!({ "overlap": "queue" }), 0);
    bench.run_now().await.expect("it is run");
    seconds(1).await;
    assert_eq!(bench.run_now().await.map(|firing| firing.state), Ok(FiringState::Due), "it waits");
    bench.ask(|told| Order::End { told }).await;
    assert!(bench.keeper.await.is_ok(), "it ends");
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_is_valid_no_longer_is_told_and_the_next_time_is_tried_again() {
    let bench = Bench::of(json!({}), 0);
    bench.outside.lock().schedule.as_mut().expect("kept").workflow = json!({ "agents": ["NOBODY"] });
    let bench = bench.again();
    seconds(21).await;
    bench.check(&[(10, FiringState::Failed), (20, FiringState::Failed)], 0);
    let why = bench.outside.lock().rows[&at(10)].detail.clone();
    assert!(why.as_deref().is_some_and(|why| why.contains("/agents/0") && why.contains("NOBODY")), "{why:?}");
}
