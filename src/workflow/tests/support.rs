//! A small world of agents, and a driver that plays orchestrator and agents.
use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ids::AgentId;
use crate::ids::Digest;
use crate::ids::RunId;
use crate::ids::StepId;
use crate::ids::ToolId;
use crate::toolkit::change::Call;
use crate::toolkit::output::Evidence;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::workflow::advance::Advance;
use crate::workflow::advance::Answer;
use crate::workflow::advance::Effect;
use crate::workflow::advance::Trigger;
use crate::workflow::check::check;
use crate::workflow::child::ChildEnd;
use crate::workflow::event::RunEvent;
use crate::workflow::fault::Limits;
use crate::workflow::plan::Plan;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;
use crate::workflow::step::ToolFacts;
use crate::workflow::world::AgentFacts;
use crate::workflow::world::World;

pub const START: DateTime<Utc> = DateTime::<Utc>::UNIX_EPOCH;

pub fn at(seconds: i64) -> DateTime<Utc> {
    START + TimeDelta::seconds(seconds)
}

pub fn step_id(text: &str) -> StepId {
    StepId::new(text).expect("a step id")
}

/// TESTBED reads and may be asked again, PATCHER does what may not be, WRITER changes the host by plan.
pub fn world() -> World {
    let tool = |text: &str| ToolId::new(text).expect("a tool id");
    let agent = |text: &str, tools: &[&str]| {
        let facts =
            AgentFacts { tools: tools.iter().map(|text| tool(text)).collect(), timeout: Duration::from_secs(20) };
        (AgentId::new(text).expect("an agent id"), facts)
    };
    let facts = |repeatable, needs_evidence| ToolFacts { repeatable, needs_evidence, learn: false, changes: false };
    let playbook = json!({"name": "scan", "inputs": {"root": "/etc"}, "mode": "dag", "steps": [
        {"id": "a", "agent": "TESTBED", "tool": "cp.echo", "input": {"at": "${inputs.root}"}}]});
    let broken = json!({"name": "broken", "steps": [{"id": "a", "agent": "NOBODY"}]});
    World {
        agents: [
            agent("TESTBED", &["cp.echo", "fs.manifest"]),
            agent("PATCHER", &["pkg.upgrade"]),
            agent("WRITER", &["fs.write"]),
            agent("HARDWARE-DELL", &["fs.manifest"]),
        ]
        .into(),
        tools: [
            (tool("cp.echo"), facts(true, false)),
            (tool("fs.manifest"), facts(true, true)),
            (tool("pkg.upgrade"), facts(false, true)),
            (tool("fs.write"), ToolFacts { changes: true, ..facts(false, true) }),
        ]
        .into(),
        playbooks: BTreeMap::from([("scan".to_owned(), playbook), ("broken".to_owned(), broken)]),
        limits: Limits { max_steps: 100, max_value_bytes: 10_000 },
    }
}

pub fn plan(document: Value) -> Plan {
    check(&document, &world()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

pub fn output(status: Status, data: Value) -> Output {
    match status {
        Status::Ok | Status::Degraded => {
            let evidence = Evidence {
                source: "test".into(),
                sha256: Digest([1; 32]),
                bytes: 1,
                exit_code: None,
                started: START,
                duration_ms: 1.0,
                truncated: false,
            };
            let reason = (status == Status::Degraded).then(|| Reason::new("io", "test", "in part"));
            Output { status, data, evidence: vec![evidence], reason }
        }
        _ => Output::without_data(status, Reason::new("io", "test", "for the test")),
    }
}

pub fn done(status: Status, data: Value) -> Answer {
    Answer::Done(StepResult { output: output(status, data), findings: Vec::new(), duration_ms: 2.0, usage: None })
}

pub fn ok(data: Value) -> Answer {
    done(Status::Ok, data)
}

/// A run, its journal as text as the database keeps it, and the effects that have not been performed.
pub struct Bench {
    pub run: Run,
    pub journal: Vec<(DateTime<Utc>, String)>,
    pub pending: Vec<Effect>,
    pub wake: Option<DateTime<Utc>>,
    pub stopped: Vec<(StepId, u32)>,
    /// What children were told last.
    pub held: Option<bool>,
    /// Children that have ended, and how they stand.
    pub children: BTreeMap<RunId, ChildEnd>,
    pub ended: bool,
    pub now: DateTime<Utc>,
    /// Steps whose change is on the host at present, in the order in which they made it.
    pub host: Vec<String>,
    /// What was done on the host was done after so many events were on disk.
    pub durable: usize,
}

impl Bench {
    pub fn start(document: Value) -> Self {
        Bench::of(plan(document))
    }

    pub fn of(plan: Plan) -> Self {
        let (run, advance) = Run::accept(RunId(Uuid::from_u128(1)), plan, "token:test".into(), START);
        let mut bench = Bench {
            run,
            journal: Vec::new(),
            pending: Vec::new(),
            wake: None,
            stopped: Vec::new(),
            held: None,
            children: BTreeMap::new(),
            ended: false,
            now: START,
            host: Vec::new(),
            durable: 1,
        };
        bench.perform(advance);
        bench
    }

    fn perform(&mut self, advance: Advance) {
        assert_eq!(advance.first_seq as usize, self.journal.len(), "rows are numbered without a gap");
        for event in &advance.events {
            self.journal.push((self.now, serde_json::to_string(event).expect("an event is JSON")));
        }
        assert_eq!(self.run.next_seq() as usize, self.journal.len());
        for effect in advance.effects {
            match effect {
                Effect::Dispatch { .. } | Effect::Choose { .. } | Effect::Undo { .. } => self.pending.push(effect),
                Effect::RunChild { .. } | Effect::UndoChild { .. } => self.pending.push(effect),
                Effect::HoldChildren { hold } => self.held = Some(hold),
                Effect::Stop { step, attempt } => self.stopped.push((step, attempt)),
                Effect::Wake { at } => self.wake = Some(at),
                Effect::Finished => {}
            }
        }
        // A run that ended may go on.
        self.ended = self.run.is_finished();
    }

    pub fn trigger(&mut self, trigger: Trigger) {
        let advance = self.run.advance(trigger, self.now);
        self.perform(advance);
    }

    /// The attempts at work, as `step#attempt`.
    pub fn at_work(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .pending
            .iter()
            .filter_map(|effect| match effect {
                Effect::Dispatch { step, attempt, .. } => Some(format!("{step}#{attempt}")),
                Effect::Undo { step, attempt, .. } => Some(format!("undo {step}#{attempt}")),
                Effect::RunChild { step, attempt, again, .. } => {
                    Some(format!("child {step}#{attempt}{}", if *again { " again" } else { "" }))
                }
                Effect::UndoChild { step, attempt, .. } => Some(format!("undo child {step}#{attempt}")),
                _ => None,
            })
            .collect();
        names.sort();
        names
    }

    /// The time that each attempt at work was given.
    pub fn timeouts(&self) -> Vec<Duration> {
        let timeout = |effect: &Effect| match effect {
            Effect::Dispatch { timeout, .. } => Some(*timeout),
            _ => None,
        };
        self.pending.iter().filter_map(timeout).collect()
    }

    /// Answers the attempt of `step` that is at work.
    pub fn answer(&mut self, step: &str, answer: Answer) {
        let place = self.pending.iter().position(|effect| match effect {
            Effect::Dispatch { step: at_work, .. } => at_work.as_str() == step,
            _ => false,
        });
        let place = place.unwrap_or_else(|| panic!("`{step}` is not at work: {:?}", self.at_work()));
        let Effect::Dispatch { step, attempt, .. } = self.pending.remove(place) else { panic!("a dispatch") };
        self.trigger(Trigger::Answer { step, attempt, answer });
    }

    /// Answers the call of a change, or of its undoing, that `step` waits for.
    pub fn call(&mut self, step: &str, answer: Answer) {
        let place = self.pending.iter().position(|effect| match effect {
            Effect::Dispatch { step: at_work, .. }
            | Effect::Undo { step: at_work, .. }
            | Effect::RunChild { step: at_work, .. }
            | Effect::UndoChild { step: at_work, .. } => at_work.as_str() == step,
            _ => false,
        });
        let place = place.unwrap_or_else(|| panic!("`{step}` is not at work: {:?}", self.at_work()));
        match self.pending.remove(place) {
            Effect::Undo { step, attempt, .. } | Effect::UndoChild { step, attempt, .. } => {
                self.trigger(Trigger::Undone { step, attempt, answer });
            }
            Effect::Dispatch { step, attempt, .. } | Effect::RunChild { step, attempt, .. } => {
                self.trigger(Trigger::Answer { step, attempt, answer })
            }
            other => panic!("{other:?}"),
        }
    }

    /// The child that `step` waits for, and what it is to do.
    pub fn child(&self, step: &str) -> (RunId, Plan) {
        let found = self.pending.iter().find_map(|effect| match effect {
            Effect::RunChild { step: at_work, child, plan, .. } if at_work.as_str() == step => {
                Some((*child, plan.clone()))
            }
            _ => None,
        });
        found.unwrap_or_else(|| panic!("`{step}` has no child: {:?}", self.at_work()))
    }

    /// What `step` is asked for at present.
    pub fn asked_for(&self, step: &str) -> Option<Call> {
        self.pending.iter().find_map(|effect| match effect {
            Effect::Dispatch { step: at_work, call, .. } if at_work.as_str() == step => Some(call.clone()),
            Effect::Undo { step: at_work, plan, .. } if at_work.as_str() == step => Some(Call::Undo(plan.clone())),
            _ => None,
        })
    }

    /// Lets time pass until the timer of the run.
    pub fn sleep(&mut self) {
        let wake = self.wake.take().expect("a timer is set");
        self.now = self.now.max(wake);
        self.trigger(Trigger::Wake);
    }

    pub fn events(&self, journaled: usize) -> Vec<(DateTime<Utc>, RunEvent)> {
        let parse = |(at, text): &(_, String)| (*at, serde_json::from_str(text).expect("an event is read back"));
        self.journal[..journaled].iter().map(parse).collect()
    }

    /// The service dies with `journaled` events on disk, and comes back.
    pub fn crash(&mut self, journaled: usize) {
        let events = self.events(journaled);
        self.run = Run::replay(self.run.id(), events).expect("a journal that was written can be read");
        self.journal.truncate(journaled);
        self.pending.clear();
        self.wake = None;
        self.ended = self.run.is_finished();
        let advance = self.run.resume(self.now);
        self.perform(advance);
    }

    pub fn input_of(&self, step: &str) -> Value {
        self.run.step(&step_id(step)).expect("a step").attempts().last().expect("an attempt").input.as_ref().clone()
    }

    /// All steps as `id:status`.
    pub fn statuses(&self) -> String {
        let all: Vec<_> =
            self.run.steps().map(|(step, state)| format!("{}:{}", step.id, state.status().as_str())).collect();
        all.join(" ")
    }
}

/// A plan as the writer answers it.
pub fn planned(what: &str) -> Answer {
    done(Status::Ok, json!({ "plan": { "write": what }, "summary": format!("writes {what}") }))
}

/// A document of steps for TESTBED, each with the ids it needs.
pub fn dag(steps: &[(&str, &[&str])]) -> Value {
    let steps: Vec<_> = steps
        .iter()
        .map(|(id, needs)| json!({"id": id, "agent": "TESTBED", "tool": "cp.echo", "needs": needs}))
        .collect();
    json!({"name": "t", "mode": "dag", "steps": steps})
}
