//! Each call of a tool through an agent, with grants, places, judges and a panic.
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::actors::agent::Agent;
use crate::actors::child::{ChildOptions, ChildSpec, Place};
use crate::actors::home::Home;
use crate::actors::root::{RootHandle, start_root};
use crate::actors::slot::Ref;
use crate::actors::supervisor::SupervisorSpec;
use crate::agents::profile::{AgentProfile, Criticality, Group, Policy};
use crate::clock;
use crate::ids::{AgentId, RunId, StepId, ToolId};
use crate::messages::agent::{GetStats, RunStep, StepNotDone};
use crate::recovery::action::Restraint;
use crate::resilience::breaker::BreakerOptions;
use crate::resilience::restart::Intensity;
use crate::resilience::roster::Strategy;
use crate::toolkit::bench::Workbench;
use crate::toolkit::change::Call;
use crate::toolkit::change::{Change, Planned, Settled, needs_a_plan};
use crate::toolkit::cx::{CancelFlag, ToolCx};
use crate::toolkit::output::{Output, Status};
use crate::toolkit::spec::{Tool, ToolKind, ToolSpec};
use crate::tools::control::cp_echo::CpEcho;
use crate::tools::fixture_cx::FixtureCx;
use crate::tools::fs::fs_write::FsWrite;
use crate::tools::toolbox::Toolbox;
use crate::workflow::result::StepResult;

const PATIENCE: Duration = Duration::from_secs(30);

/// An agent with one place, and the tree it lives in.
struct Stage {
    agent: Ref<Agent>,
    root: RootHandle,
    /// Kept: without it nobody restrains any more.
    _restrain: watch::Sender<Restraint>,
}

impl Stage {
    fn new(cx: ToolCx, tools: Vec<Arc<dyn Tool>>) -> Self {
        let profile = AgentProfile {
            id: AgentId::new("PACER").expect("an agent id"),
            group: Group::Core,
            domain: "command".to_owned(),
            description: "A test.".to_owned(),
            tools: tools.iter().map(|tool| tool.spec().id).collect(),
            policy: Policy::Auto,
            criticality: Criticality::Normal,
            timeout: PATIENCE,
            concurrency: 1,
            breaker: BreakerOptions::default(),
            instructions: String::new(),
        };
        let bench = Arc::new(Workbench {
            node: cx.node,
            roots: cx.roots,
            writes: cx.writes,
            time: cx.time,
            sign: cx.sign,
            history: cx.history,
            learning: cx.learning,
            artifacts: cx.artifacts,
            hash: cx.hash,
            hash_key: cx.hash_key,
            no_broker: cx.no_broker,
        });
        let toolbox = Arc::new(tools.into_iter().fold(Toolbox::standard().expect("tools"), Toolbox::with));
        let (profile, (restrain, restraint)) = (Arc::new(profile), watch::channel(Restraint::NONE));
        let home = Home::start("test").expect("a thread");
        let make =
            move || Agent::new(Arc::clone(&profile), Arc::clone(&toolbox), Arc::clone(&bench), restraint.clone());
        let (child, agent) = ChildSpec::worker("PACER", ChildOptions::at(Place::Shared(home)), make);
        let spec = SupervisorSpec {
            name: "root".to_owned(),
            strategy: Strategy::OneForOne,
            intensity: Intensity { max: 5, within: PATIENCE },
            children: vec![child],
        };
        Stage { agent, root: start_root(spec, |_| ()).expect("a tree"), _restrain: restrain }
    }

    async fn ask(&self, tool: &str, call: Call, input: Value) -> Result<StepResult, StepNotDone> {
        self.ask_within(tool, call, input, PATIENCE).await
    }

    async fn ask_within(
        &self,
        tool: &str,
        call: Call,
        input: Value,
        time: Duration,
    ) -> Result<StepResult, StepNotDone> {
        // Asked before it was started, an agent is not there yet.
        while self.agent.port().ask(GetStats).await.is_err() {
            tokio::task::yield_now().await;
        }
        let order = RunStep {
            run: RunId(uuid::Uuid::from_u128(7)),
            step: StepId::new("s").expect("a step id"),
            attempt: 1,
            tool: ToolId::new(tool).expect("a tool id"),
            call,
            input: Arc::new(input),
            deadline: clock::now() + time,
            cancel: CancelFlag::default(),
        };
        self.agent.port().ask_within(order, PATIENCE).await.expect("an answer")
    }

    async fn refusal(&self, tool: &str, call: Call) -> (Status, String) {
        let output = self.ask(tool, call, json!({})).await.expect("done").output;
        (output.status, output.reason.expect("a reason").code)
    }
}

/// Pretends to be a tool on whose results a judge has something to say.
#[derive(Default)]
struct Mover {
    entered: Arc<Notify>,
    /// Held by a test: the tool does not end its `apply` before.
    gate: Arc<Mutex<()>>,
}

impl Mover {
    fn free() -> Arc<dyn Tool> {
        Arc::new(Mover::default())
    }

    fn alarming(&self) -> Output {
        let data = json!({"psi": {"mem": {"some": {"avg60": 90.0}}}, "plan": 1, "summary": "moves"});
        Output::ok(data, Vec::new())
    }
}

impl Tool for Mover {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            id: ToolId::new("load.read").expect("a tool id"),
            kind: ToolKind::Mutating,
            needs_evidence: false,
            ..FsWrite.spec()
        }
    }
    fn call(&self, _: &ToolCx, _: &Value) -> Output {
        needs_a_plan("load.read")
    }
    fn change(&self) -> Option<&dyn Change> {
        Some(self)
    }
}

impl Change for Mover {
    fn plan(&self, _: &ToolCx, _: &Value) -> Result<Planned, Box<Output>> {
        Ok(Planned::from_output(&self.alarming()).expect("a plan"))
    }
    fn apply(&self, _: &ToolCx, _: &Value) -> Output {
        self.entered.notify_one();
        let _held = self.gate.lock();
        self.alarming()
    }
    fn undo(&self, _: &ToolCx, plan: &Value) -> Output {
        assert_ne!(plan, &json!("panic"), "as told");
        self.alarming()
    }
    fn settle(&self, _: &ToolCx, _: &Value) -> Output {
        self.alarming()
    }
}

fn plan() -> Arc<Value> {
    Arc::new(json!(1))
}

#[actix::test]
async fn a_file_is_planned_applied_settled_and_undone_through_an_agent() {
    let temp = tempfile::tempdir().expect("a temp dir");
    let stage = Stage::new(FixtureCx::at(temp.path()), vec![Arc::new(FsWrite)]);
    let planned = stage.ask("fs.write", Call::Plan, json!({"path": "f", "content": "x"})).await.expect("done");
    let planned = Planned::from_output(&planned.output).expect("a plan");
    let (plan, path) = (Arc::new(planned.plan), temp.path().join("scratch/f"));
    assert!(!path.exists());
    let ask = |call| stage.ask("fs.write", call, Value::Null);
    let settled = |result: StepResult| Settled::from_output(&result.output).expect("a verdict");
    assert_eq!(settled(ask(Call::Settle(Arc::clone(&plan))).await.expect("done")), Settled::NotApplied);
    let applied = ask(Call::Apply(Arc::clone(&plan))).await.expect("done").output;
    assert_eq!((applied.status, fs::read_to_string(&path).expect("written").as_str()), (Status::Ok, "x"));
    let verdict = settled(ask(Call::Settle(Arc::clone(&plan))).await.expect("done"));
    assert_eq!(verdict, Settled::Applied { data: applied.data });
    assert_eq!(ask(Call::Undo(plan)).await.expect("done").output.status, Status::Ok);
    assert!(!path.exists());
    assert_eq!(stage.agent.port().ask(GetStats).await.expect("stats").done, 5);
    stage.root.shutdown(PATIENCE).await;
}

#[actix::test]
async fn a_call_that_the_tool_does_not_have_is_denied() {
    let tools: Vec<Arc<dyn Tool>> = vec![Arc::new(CpEcho), Mover::free()];
    let stage = Stage::new(FixtureCx::empty(), tools);
    let denied = |code: &str| (Status::Denied, code.to_owned());
    assert_eq!(stage.refusal("load.read", Call::Run).await, denied("needs_a_plan"));
    for call in [Call::Plan, Call::Apply(plan()), Call::Undo(plan()), Call::Settle(plan())] {
        assert_eq!(stage.refusal("cp.echo", call.clone()).await, denied("changes_nothing"), "{call:?}");
        assert_eq!(stage.refusal("fs.write", call.clone()).await, denied("not_granted"), "{call:?}");
    }
    stage.root.shutdown(PATIENCE).await;
}

#[actix::test]
async fn a_tool_without_code_says_so_whatever_is_asked() {
    let standard = Toolbox::standard().expect("tools");
    let tool = standard.get(&ToolId::new("sysctl.set").expect("a tool id")).expect("listed");
    let stage = Stage::new(FixtureCx::empty(), vec![Arc::clone(tool)]);
    for call in [Call::Run, Call::Plan, Call::Apply(plan())] {
        let refusal = stage.refusal("sysctl.set", call).await;
        assert_eq!(refusal, (Status::Unavailable, "not_built".to_owned()));
    }
    stage.root.shutdown(PATIENCE).await;
}

#[actix::test]
async fn only_what_is_run_or_applied_is_judged() {
    let stage = Stage::new(FixtureCx::empty(), vec![Mover::free()]);
    for (call, judged) in
        [(Call::Plan, false), (Call::Apply(plan()), true), (Call::Undo(plan()), false), (Call::Settle(plan()), false)]
    {
        let result = stage.ask("load.read", call.clone(), json!({})).await.expect("done");
        assert_eq!(result.output.status, Status::Ok);
        assert_eq!(!result.findings.is_empty(), judged, "{call:?}");
    }
    stage.root.shutdown(PATIENCE).await;
}

#[actix::test]
async fn an_undo_waits_for_no_place_and_its_panic_costs_one_step() {
    let (gate, entered) = (Arc::new(Mutex::new(())), Arc::new(Notify::new()));
    let mover = Mover { gate: Arc::clone(&gate), entered: Arc::clone(&entered) };
    let stage = Stage::new(FixtureCx::empty(), vec![Arc::new(mover)]);
    let held = gate.lock();
    let busy = stage.ask("load.read", Call::Apply(plan()), json!({}));
    let others = async {
        // From here on the only place is taken.
        entered.notified().await;
        let soon = Duration::from_millis(50);
        let late = stage.ask_within("load.read", Call::Settle(plan()), json!({}), soon).await.expect("done");
        assert_eq!(late.output.status, Status::TimedOut);
        let undone = stage.ask("load.read", Call::Undo(plan()), json!({})).await.expect("done");
        assert_eq!(undone.output.status, Status::Ok);
        let panicked = stage.ask("load.read", Call::Undo(Arc::new(json!("panic"))), json!({})).await;
        assert!(matches!(panicked, Err(StepNotDone::ToolPanicked { .. })), "{panicked:?}");
        drop(held);
    };
    let (applied, ()) = tokio::join!(busy, others);
    assert_eq!(applied.expect("done").output.status, Status::Ok);
    stage.root.shutdown(PATIENCE).await;
}
