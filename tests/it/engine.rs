//! The orchestrator between a store and agents that do as they are told. Time is paused, so that retries pass at once.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_rt::{Arbiter, System};
use dsmil::actors::child::{ChildOptions, Place};
use dsmil::actors::engine::{self, EngineSpec};
use dsmil::actors::engine_doors::Doors;
use dsmil::actors::home::Home;
use dsmil::actors::orchestrator::Orchestrator;
use dsmil::actors::root::start_root_at;
use dsmil::actors::slot::Ref;
use dsmil::actors::teach::Teach;
use dsmil::ids::{AgentId, NodeId, RunId, ToolId};
use dsmil::messages::agent::RunStep;
use dsmil::messages::learner::{Choose, LearnError};
use dsmil::messages::orchestrator::{CancelRun, GetEngineStatus, GetRun, PauseRun, StartError, StartRun, WatchRun};
use dsmil::messages::port::{AskError, Door, Port, Reply};
use dsmil::messages::store::{AppendRun, LoadRun};
use dsmil::recovery::action::Restraint;
use dsmil::toolkit::output::Output;
use dsmil::workflow::check::check;
use dsmil::workflow::plan::Plan;
use dsmil::workflow::record::{Appended, DamagedRun, StoreError, StoredRun};
use dsmil::workflow::result::StepResult;
use dsmil::workflow::step::{Choice, Doer, Task, ToolFacts};
use dsmil::workflow::world::{AgentFacts, World};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

/// What the store does with the appends that come, one after the other; those that follow are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    Unreachable,
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// The kinds of the rows.
    Append(Vec<String>),
    Step(String, u32),
}

#[derive(Clone, Default)]
struct Outside {
    fates: Arc<Mutex<VecDeque<Fate>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    stored: Arc<Mutex<Vec<AppendRun>>>,
    /// How often the learner was asked for a choice and had none.
    put_off: Arc<AtomicUsize>,
    /// True: agents keep their steps waiting.
    gate: Arc<watch::Sender<bool>>,
}

impl Outside {
    fn append(&self, append: AppendRun) -> Result<Appended, StoreError> {
        let kinds = append.rows.iter().map(|row| row.kind.clone()).collect();
        self.seen.lock().push(Seen::Append(kinds));
        let detail = || "as told".to_owned();
        match self.fates.lock().pop_front() {
            Some(Fate::Unknown) => Err(StoreError::Unknown { detail: detail() }),
            Some(Fate::Unreachable) => Err(StoreError::Unreachable { detail: detail() }),
            None => {
                let indexes = append.rows.iter().map(|row| row.entry.as_ref().map(|_| u64::from(row.seq))).collect();
                self.stored.lock().push(append);
                Ok(Appended { indexes })
            }
        }
    }

    fn work(&self, order: &RunStep) -> StepResult {
        self.seen.lock().push(Seen::Step(order.step.to_string(), order.attempt));
        StepResult {
            output: Output::ok(order.input.clone(), Vec::new()),
            findings: Vec::new(),
            duration_ms: 1.0,
            usage: None,
        }
    }

    /// The learner cannot answer yet what it is asked `later`.
    fn asked_to_choose(&self, task: &Task) -> Result<Result<Choice, String>, LearnError> {
        if task.text == "later" {
            self.put_off.fetch_add(1, Ordering::Relaxed);
            return Err(LearnError::Past { detail: "the database is away".to_owned() });
        }
        Ok(self.choose(task))
    }

    /// TESTBED does what is asked in one word.
    fn choose(&self, task: &Task) -> Result<Choice, String> {
        if task.text.contains(' ') {
            return Err("nobody is confident".to_owned());
        }
        let facts = ToolFacts { repeatable: true, needs_evidence: false, learn: true };
        let doer = Doer { agent: agent(), tool: ToolId::new("cp.echo").expect("id"), facts };
        Ok(Choice { doer, confidence: 0.75, reasons: vec!["it is told to".to_owned()] })
    }

    fn load(&self, run: RunId) -> Option<StoredRun> {
        let mut appends = self.stored.lock().clone().into_iter().filter(|append| append.run == run);
        let first = appends.next()?;
        let rows = first.rows.into_iter().map(|row| (row, None)).collect();
        let header = first.header.expect("the first append carries the header");
        let node = NodeId::new("n").expect("id");
        let mut stored = StoredRun { node, header, status: first.status, outcome: first.outcome, rows };
        for append in appends {
            stored.rows.extend(append.rows.into_iter().map(|row| (row, None)));
            (stored.status, stored.outcome) = (append.status, append.outcome);
        }
        Some(stored)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

fn agent() -> AgentId {
    AgentId::new("TESTBED").expect("id")
}

fn world() -> World {
    let tool = ToolId::new("cp.echo").expect("id");
    let facts = ToolFacts { repeatable: true, needs_evidence: false, learn: false };
    let agents =
        BTreeMap::from([(agent(), AgentFacts { tools: vec![tool.clone()], timeout: Duration::from_secs(30) })]);
    World { agents, tools: BTreeMap::from([(tool, facts)]), ..World::default() }
}

fn plan() -> Plan {
    let document = json!({"name": "two", "mode": "sequential", "steps": [
        {"id": "a", "agent": "TESTBED", "tool": "cp.echo"}, {"id": "b", "agent": "TESTBED", "tool": "cp.echo"},
    ]});
    check(&document, &world()).expect("a plan")
}

/// Runs that may be open at once.
const MOST: usize = 5_000;

/// An agent that works while the gate is open, and else keeps steps waiting.
struct Agent(Outside);

impl Door<RunStep> for Agent {
    fn ask(&self, order: RunStep, _: Duration) -> Reply<RunStep> {
        let outside = self.0.clone();
        let mut gate = outside.gate.subscribe();
        Box::pin(async move {
            gate.wait_for(|shut| !shut).await.map_err(|_| AskError::Lost)?;
            Ok(Ok(outside.work(&order)))
        })
    }

    fn try_tell(&self, _: RunStep) -> Result<(), AskError> {
        Err(AskError::Overloaded)
    }
}

/// Runs a test with an orchestrator that found `open` runs in the journal.
fn with_engine<F: Future<Output = ()>>(
    outside: Outside,
    open: Vec<Result<StoredRun, DamagedRun>>,
    test: impl FnOnce(Ref<Orchestrator>) -> F,
) {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime");
    System::with_tokio_rt(runtime).block_on(async move {
        let (appending, choosing, loading, working) = (outside.clone(), outside.clone(), outside.clone(), outside);
        let step = Port::new(Arc::new(Agent(working)));
        let doors = Doors {
            agents: Arc::new(BTreeMap::from([(agent(), step)])),
            begin: Port::answering(|_| Ok(Ok(1))),
            append: Port::answering(move |append| Ok(appending.append(append))),
            settle: Port::answering(|_| Ok(Ok(0..0))),
            load_open: Port::answering(move |_| Ok(Ok(open.clone()))),
            load: Port::answering(move |LoadRun(run)| Ok(Ok(loading.load(run)))),
            load_unlearned: Port::answering(|_| Ok(Ok(Vec::new()))),
            feed: Port::answering(|_| Ok(())),
            choose: Port::answering(move |Choose(task)| Ok(choosing.asked_to_choose(&task))),
            teach: Teach::new(Port::answering(|_| Ok(Ok(())))),
        };
        let home = Home::given("test", Arbiter::current());
        let options = ChildOptions { cap: MOST, ..ChildOptions::at(Place::Shared(home.clone())) };
        let (node, homes) = (NodeId::new("n").expect("id"), vec![home.clone()]);
        let restraint = watch::channel(Restraint::NONE).1;
        let (spec, engine) = engine::engine(EngineSpec { node, doors, restraint, most: MOST, homes, options });
        let root = start_root_at(home, spec, |_| {}).expect("the tree starts");
        let status = engine.port::<GetEngineStatus>();
        while !status.ask(GetEngineStatus).await.is_ok_and(|status| status.recovered) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        test(engine).await;
        root.shutdown(Duration::from_secs(5)).await;
    });
}

/// Waits until the engine has let go of the run.
async fn ended(engine: &Ref<Orchestrator>, run: RunId) {
    while let Ok(Some(mut changes)) = engine.port().ask(WatchRun(run)).await {
        while changes.changed().await.is_ok() {}
    }
}

async fn start(engine: &Ref<Orchestrator>) -> Result<RunId, StartError> {
    engine.port().ask(StartRun { plan: plan(), by: "token:test".into() }).await.expect("answered")
}

fn append(kinds: &[&str]) -> Seen {
    Seen::Append(kinds.iter().map(|kind| (*kind).to_owned()).collect())
}

fn step(id: &str, attempt: u32) -> Seen {
    Seen::Step(id.to_owned(), attempt)
}

const BEGIN: [&str; 2] = ["accepted", "step_started"];

#[test]
fn nothing_is_done_before_it_is_journalled() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let run = start(&engine).await.expect("accepted");
        ended(&engine, run).await;
    });
    let next = ["attempt_done", "step_started"];
    let expected = [append(&BEGIN), step("a", 1), append(&next), step("b", 1), append(&["attempt_done", "finished"])];
    assert_eq!(outside.seen(), expected);
}

#[test]
fn a_task_is_given_to_whom_the_learner_chooses_and_the_choice_is_journalled() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let steps = json!([{"id": "a", "task": "anything"}, {"id": "b", "task": "not a word"}]);
        let plan = check(&json!({"mode": "parallel", "steps": steps}), &world()).expect("a plan");
        let run = engine.port().ask(StartRun { plan, by: "token:test".into() }).await.expect("answered");
        ended(&engine, run.expect("accepted")).await;
    });
    let kinds: Vec<String> = outside.stored.lock().iter().flat_map(|a| a.rows.iter().map(|r| r.kind.clone())).collect();
    for (kind, count) in [("step_chosen", 1), ("step_started", 1), ("attempt_done", 1), ("step_ended", 1)] {
        assert_eq!(kinds.iter().filter(|found| *found == kind).count(), count, "{kind} in {kinds:?}");
    }
    assert!(outside.seen().contains(&step("a", 1)));
}

#[test]
fn a_run_that_is_certainly_not_stored_is_refused_and_forgotten() {
    let outside = Outside { fates: Arc::new(Mutex::new([Fate::Unreachable].into())), ..Outside::default() };
    with_engine(outside.clone(), Vec::new(), async |engine| {
        assert!(matches!(start(&engine).await, Err(StartError::NotDurable { .. })));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(engine.port().ask(GetEngineStatus).await.expect("answered").open_runs, 0);
    });
    assert_eq!(outside.seen(), [append(&BEGIN)]);
}

/// After an unknown outcome the run may be stored: a refusal that follows proves nothing about it.
#[test]
fn a_run_that_may_be_stored_is_never_forgotten() {
    let fates = [Fate::Unknown, Fate::Unreachable, Fate::Unreachable];
    let outside = Outside { fates: Arc::new(Mutex::new(fates.into())), ..Outside::default() };
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let run = start(&engine).await.expect("accepted once the database is back");
        ended(&engine, run).await;
    });
    let seen = outside.seen();
    assert_eq!(seen[..5], [append(&BEGIN), append(&BEGIN), append(&BEGIN), append(&BEGIN), step("a", 1)]);
    assert_eq!(seen.last(), Some(&append(&["attempt_done", "finished"])));
}

#[test]
fn for_a_run_that_was_cancelled_the_learner_is_asked_no_more() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let document = json!({"name": "later", "steps": [{"id": "a", "task": "later", "timeout": "10m"}]});
        let plan = check(&document, &world()).expect("a plan");
        let started = engine.port().ask(StartRun { plan, by: "token:test".into() }).await.expect("answered");
        let run = started.expect("accepted");
        while outside.put_off.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(engine.port().ask(CancelRun { run, by: "token:test".into() }).await, Ok(Ok(true)));
        ended(&engine, run).await;
        let before = outside.put_off.load(Ordering::Relaxed);
        // Paused time: these minutes pass at once, and would hold dozens of questions.
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(outside.put_off.load(Ordering::Relaxed), before);
    });
}

#[test]
fn what_the_last_start_left_open_goes_on_from_its_journal() {
    let first = Outside::default();
    with_engine(first.clone(), Vec::new(), async |engine| {
        let run = start(&engine).await.expect("accepted");
        ended(&engine, run).await;
    });
    // The journal as a kill would leave it: step `a` was begun, and nobody knows how it ended.
    first.stored.lock().truncate(1);
    let run = first.stored.lock()[0].run;
    let stored = first.load(run).expect("it is stored");
    let second = Outside::default();
    let cause = StoreError::Damaged { table: "state.journal", detail: "row 1".into() };
    let damaged = DamagedRun { run: RunId(Uuid::nil()), cause };
    with_engine(second.clone(), vec![Err(damaged), Ok(stored)], async |engine| {
        ended(&engine, run).await;
        assert_eq!(engine.port().ask(GetRun(run)).await, Ok(None), "it has ended: the store has it");
    });
    let steps: Vec<_> = second.seen().into_iter().filter(|seen| matches!(seen, Seen::Step(..))).collect();
    assert_eq!(steps, [step("a", 2), step("b", 1)]);
    let last = second.stored.lock().last().cloned().expect("an append");
    assert_eq!(last.status, "succeeded");
}

#[test]
fn one_who_asks_again_waits_for_what_was_asked_before() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let document = json!({"name": "waits", "steps": [{"id": "a", "task": "later", "tool": "cp.echo"}]});
        let plan = check(&document, &world()).expect("a plan");
        let run =
            engine.port().ask(StartRun { plan, by: "token:test".into() }).await.expect("answered").expect("accepted");
        let port = engine.port();
        let pause = || port.ask(PauseRun { run, by: "token:test".into() });
        outside.fates.lock().extend([Fate::Unreachable; 100]);
        assert!(matches!(pause().await, Ok(Err(StartError::NotDurable { .. }))), "not confirmed in time");
        outside.fates.lock().clear();
        assert_eq!(pause().await, Ok(Ok(true)));
        assert_eq!(pause().await, Ok(Ok(false)), "it is paused already");
        assert_eq!(engine.port().ask(CancelRun { run, by: "token:test".into() }).await, Ok(Ok(true)));
    });
}

#[test]
fn thousands_of_runs_are_open_at_once_and_all_end() {
    let many = if std::env::var_os("DSMIL_SOAK").is_some() { MOST } else { 2_000 };
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        outside.gate.send_replace(true);
        let began = real_now();
        let port = engine.port::<StartRun>();
        let starting = (0..many).map(|_| port.ask(StartRun { plan: plan(), by: "token:test".into() }));
        let starting: Vec<_> = starting.collect();
        for started in starting {
            started.await.expect("answered").expect("accepted");
        }
        let started = began.elapsed();
        let status = engine.port::<GetEngineStatus>();
        let open = status.ask(GetEngineStatus).await.expect("answered");
        assert_eq!((open.open_runs, open.running_steps), (many, many));
        outside.gate.send_replace(false);
        while status.ask(GetEngineStatus).await.expect("answered").open_runs > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("{many} runs open at once: begun in {started:.2?}, all ended after {:.2?}", began.elapsed());
    });
    let ends = outside.stored.lock().iter().filter(|append| append.status == "succeeded").count();
    assert_eq!(ends, many);
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is no matter of the paused time")]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}
