//! The world around an engine under test: a store, a learner and an agent that do as they are told. Time is paused.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
use dsmil::messages::orchestrator::{GetEngineStatus, StartError, StartRun, WatchRun};
use dsmil::messages::port::{AskError, Door, Port, Reply};
use dsmil::messages::store::{AppendRun, LoadRun};
use dsmil::messages::supervision::Intervene;
use dsmil::recovery::action::Restraint;
use dsmil::toolkit::cx::CancelFlag;
use dsmil::toolkit::output::{Output, Reason, Status};
use dsmil::workflow::check::check;
use dsmil::workflow::plan::Plan;
use dsmil::workflow::record::{Appended, DamagedRun, RunPage, StoreError, StoredRun};
use dsmil::workflow::result::StepResult;
use dsmil::workflow::step::{Choice, Doer, Task, ToolFacts};
use dsmil::workflow::world::{AgentFacts, World};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What the store does with the appends that come, one after the other; those that follow are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Unknown,
    Unreachable,
    Refused,
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The kinds of the rows.
    Append(Vec<String>),
    Step(String, u32),
}

#[derive(Clone, Default)]
pub struct Outside {
    pub fates: Arc<Mutex<VecDeque<Fate>>>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub stored: Arc<Mutex<Vec<AppendRun>>>,
    /// How often the learner was asked for a choice and had none.
    pub put_off: Arc<AtomicUsize>,
    /// True: agents keep their steps waiting.
    pub gate: Arc<watch::Sender<bool>>,
    /// Of each attempt that was handed out, in order.
    pub flags: Arc<Mutex<Vec<CancelFlag>>>,
    /// How often the open runs were asked for.
    pub readings: Arc<AtomicUsize>,
}

impl Outside {
    pub fn append(&self, append: AppendRun) -> Result<Appended, StoreError> {
        let kinds = append.rows.iter().map(|row| row.kind.clone()).collect();
        self.seen.lock().push(Seen::Append(kinds));
        let detail = || "as told".to_owned();
        match self.fates.lock().pop_front() {
            Some(Fate::Unknown) => Err(StoreError::Unknown { detail: detail() }),
            Some(Fate::Unreachable) => Err(StoreError::Unreachable { detail: detail() }),
            Some(Fate::Refused) => Err(StoreError::Refused { detail: detail() }),
            None => {
                let indexes = append.rows.iter().map(|row| row.entry.as_ref().map(|_| u64::from(row.seq))).collect();
                self.stored.lock().push(append);
                Ok(Appended { indexes })
            }
        }
    }

    pub fn work(&self, order: &RunStep) -> StepResult {
        self.seen.lock().push(Seen::Step(order.step.to_string(), order.attempt));
        let fails = order.input["fail_at"] == json!(order.attempt);
        let input = (*order.input).clone();
        let output = if fails {
            Output::without_data(Status::Failed, Reason::new("told", "cp.echo", "it was told to"))
        } else {
            Output::ok(input, Vec::new())
        };
        StepResult { output, findings: Vec::new(), duration_ms: 1.0, usage: None }
    }

    /// The learner cannot answer yet what it is asked `later`.
    pub fn asked_to_choose(&self, task: &Task) -> Result<Result<Choice, String>, LearnError> {
        if task.text == "later" {
            self.put_off.fetch_add(1, Ordering::Relaxed);
            return Err(LearnError::Past { detail: "the database is away".to_owned() });
        }
        Ok(self.choose(task))
    }

    /// TESTBED does what is asked in one word.
    pub fn choose(&self, task: &Task) -> Result<Choice, String> {
        if task.text.contains(' ') {
            return Err("nobody is confident".to_owned());
        }
        let facts = ToolFacts { repeatable: true, needs_evidence: false, learn: true, changes: false };
        let doer = Doer { agent: agent(), tool: ToolId::new("cp.echo").expect("id"), facts };
        Ok(Choice { doer, confidence: 0.75, reasons: vec!["it is told to".to_owned()] })
    }

    pub fn load(&self, run: RunId) -> Option<StoredRun> {
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

    fn open(&self, before: &[Result<StoredRun, DamagedRun>]) -> Vec<Result<StoredRun, DamagedRun>> {
        self.readings.fetch_add(1, Ordering::Relaxed);
        let runs: BTreeSet<RunId> = self.stored.lock().iter().map(|append| append.run).collect();
        let stored = runs.into_iter().filter_map(|run| self.load(run));
        before.iter().cloned().chain(stored.filter(|run| run.outcome.is_none()).map(Ok)).collect()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

pub fn agent() -> AgentId {
    AgentId::new("TESTBED").expect("id")
}

pub fn world() -> World {
    let tool = ToolId::new("cp.echo").expect("id");
    let facts = ToolFacts { repeatable: true, needs_evidence: false, learn: false, changes: false };
    let agents =
        BTreeMap::from([(agent(), AgentFacts { tools: vec![tool.clone()], timeout: Duration::from_secs(30) })]);
    World { agents, tools: BTreeMap::from([(tool, facts)]), ..World::default() }
}

pub fn plan() -> Plan {
    let document = json!({"name": "two", "mode": "sequential", "steps": [
        {"id": "a", "agent": "TESTBED", "tool": "cp.echo"}, {"id": "b", "agent": "TESTBED", "tool": "cp.echo"},
    ]});
    check(&document, &world()).expect("a plan")
}

/// Runs that may be open at once.
pub const MOST: usize = 5_000;

/// An agent that works while the gate is open, and else keeps steps waiting.
struct Agent(Outside);

impl Door<RunStep> for Agent {
    fn ask(&self, order: RunStep, _: Duration) -> Reply<RunStep> {
        let outside = self.0.clone();
        let mut gate = outside.gate.subscribe();
        outside.flags.lock().push(order.cancel.clone());
        Box::pin(async move {
            gate.wait_for(|shut| !shut).await.map_err(|_| AskError::Lost)?;
            Ok(Ok(outside.work(&order)))
        })
    }

    fn try_tell(&self, _: RunStep) -> Result<(), AskError> {
        Err(AskError::Overloaded)
    }
}

/// Runs a test with an orchestrator that finds in the journal these runs, and those that were stored and did not end.
pub fn with_engine<F: Future<Output = ()>>(
    outside: Outside,
    open: Vec<Result<StoredRun, DamagedRun>>,
    test: impl FnOnce(Ref<Orchestrator>) -> F,
) {
    with_tree(outside, open, |engine, _| test(engine));
}

/// The same, for a test that has children of the engine panic.
pub fn with_tree<F: Future<Output = ()>>(
    outside: Outside,
    open: Vec<Result<StoredRun, DamagedRun>>,
    test: impl FnOnce(Ref<Orchestrator>, Port<Intervene>) -> F,
) {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime");
    System::with_tokio_rt(runtime).block_on(async move {
        let (appending, choosing, loading, finding, working) =
            (outside.clone(), outside.clone(), outside.clone(), outside.clone(), outside);
        let step = Port::new(Arc::new(Agent(working)));
        let doors = Doors {
            agents: Arc::new(BTreeMap::from([(agent(), step)])),
            begin: Port::answering(|_| Ok(Ok(1))),
            append: Port::answering(move |append| Ok(appending.append(append))),
            settle: Port::answering(|_| Ok(Ok(0..0))),
            load_open: Port::answering(move |_| Ok(Ok(finding.open(&open)))),
            load: Port::answering(move |LoadRun(run)| Ok(Ok(loading.load(run)))),
            load_unlearned: Port::answering(|_| Ok(Ok(Vec::new()))),
            list: Port::answering(|_| Ok(Ok(RunPage { runs: Vec::new(), next: None }))),
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
        test(engine, root.intervene.clone()).await;
        root.shutdown(Duration::from_secs(5)).await;
    });
}

/// Waits until the engine has let go of the run.
pub async fn ended(engine: &Ref<Orchestrator>, run: RunId) {
    while let Ok(Some(mut changes)) = engine.port().ask(WatchRun(run)).await {
        while changes.changed().await.is_ok() {}
    }
}

pub async fn start(engine: &Ref<Orchestrator>) -> Result<RunId, StartError> {
    start_plan(engine, plan()).await
}

async fn start_plan(engine: &Ref<Orchestrator>, plan: Plan) -> Result<RunId, StartError> {
    let order = StartRun { plan, by: "token:test".into(), carried: Vec::new(), submission: None, child: None };
    engine.port().ask(order).await.expect("answered")
}

/// Starts a run of this document.
pub async fn start_of(engine: &Ref<Orchestrator>, document: &Value) -> RunId {
    let plan = check(document, &world()).expect("a plan");
    start_plan(engine, plan).await.expect("accepted")
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is no matter of the paused time")]
pub fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}
