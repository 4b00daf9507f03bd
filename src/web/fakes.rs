//! Stand-ins for the parts behind the routes: each port is a function, as far as a test needs one.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agents::catalog::Catalog;
use crate::config::web::{HostName, WebConfig};
use crate::ids::AgentId;
use crate::ids::Digest;
use crate::ids::NodeId;
use crate::ids::RunId;
use crate::ids::StepId;
use crate::ids::ToolId;
use crate::messages::auditor::SignedHead;
use crate::messages::compute::PoolStatus;
use crate::messages::learner::{HandOver, LearnerStatus};
use crate::messages::orchestrator::EngineStatus;
use crate::messages::port::AskError;
use crate::messages::port::Port;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Intervened;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;
use crate::toolkit::output::{Reason, Status};
use crate::web::agents::Agents;
use crate::web::alerts::Alerts;
use crate::web::audit::Audit;
use crate::web::auth::Admission;
use crate::web::compute::Compute;
use crate::web::health::Health;
use crate::web::hosts::Hosts;
use crate::web::learner::Learner;
use crate::web::playbooks::Playbooks;
use crate::web::routes::Edges;
use crate::web::schedules::Schedules;
use crate::web::sessions::Sessions;
use crate::web::stream::Stream;
use crate::web::supervision::Supervision;
use crate::web::tokens::Tokens;
use crate::web::tools::Tools;
use crate::web::workflows::Workflows;
use crate::workflow::advance::{Answer, Trigger};
use crate::workflow::body::Body;
use crate::workflow::check::check;
use crate::workflow::event::RunEvent;
use crate::workflow::record::JournalRow;
use crate::workflow::record::RunHeader;
use crate::workflow::record::StoreStatus;
use crate::workflow::record::StoredRun;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;
use crate::workflow::step::ToolFacts;
use crate::workflow::world::AgentFacts;
use crate::workflow::world::World;

pub mod access;

pub const TOKEN: &str = "the-admin-token";

/// A door that the supervisor has shut for 1.5 s.
pub fn shut<M>() -> Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send + 'static,
{
    Port::answering(|_| Err(AskError::Unavailable { retry_after: Duration::from_millis(1_500), reason: "shut".into() }))
}

pub fn worker(name: &str) -> Node {
    Node::new(name, NodeKind::Worker, ChildState::Up)
}

/// A service whose parts are healthy; what a test asks of the rest it puts in itself.
pub fn edges() -> Edges {
    let head = SignedHead { size: 3, root: Digest([7; 32]), note: "dsmil/n1\n3\n\n".to_owned() };
    let again = head.clone();
    let status = StoreStatus { version: "PostgreSQL 18".to_owned(), migrations: Vec::new(), size_bytes: 1 };
    let engine = EngineStatus { open_runs: 0, running_steps: 0, in_need: 0, recovered: true };
    let catalog = Arc::new(Catalog::default());
    let world = Arc::new(world());
    Edges {
        admission: Admission::new(access::book()),
        hosts: Hosts::of(&WebConfig {
            listen: ([127, 0, 0, 1], 8787).into(),
            hosts: vec![HostName::parse("dsmil.example").expect("a name")],
            max_sessions: 2,
        }),
        tokens: Tokens { create: shut(), revoke: shut() },
        sessions: Sessions { open: shut(), close: shut(), ticket: shut() },
        alerts: Alerts { list: shut(), ack: shut(), readings: shut(), observe: shut() },
        stream: Stream {
            join: shut(),
            said: shut(),
            read: shut(),
            leave: shut(),
            redeem: Port::answering(|_| Ok(None)),
            adopt: shut(),
            most: 2,
        },
        workflows: Workflows {
            start: shut(),
            get: Port::answering(|_| Ok(None)),
            watch: Port::answering(|_| Ok(None)),
            steer: Port::answering(|_| Ok(Ok(false))),
            load: Port::answering(|_| Ok(Ok(None))),
            list: shut(),
            find: shut(),
            world: Arc::clone(&world),
            node: NodeId::new("n1").expect("a node id"),
        },
        schedules: Schedules {
            create: shut(),
            list: shut(),
            get: shut(),
            pause: shut(),
            run: shut(),
            delete: shut(),
            firings: shut(),
            world: Arc::clone(&world),
        },
        agents: Agents {
            catalog: Arc::clone(&catalog),
            tree: Port::answering(|_| Ok(worker("root"))),
            intervene: Port::answering(|_| Ok(Intervened::Done)),
            stats: Arc::new(BTreeMap::new()),
            drill: None,
        },
        learner: Learner {
            predict: shut(),
            status: Port::answering(|_| Ok(LearnerStatus::default())),
            hand_over: Port::answering(|_| Ok(HandOver::default())),
            drill: None,
        },
        compute: Compute { status: Port::answering(|_| Ok(PoolStatus { workers: 3, ..PoolStatus::default() })) },
        supervision: Supervision { tree: Port::answering(|_| Ok(worker("root"))), drill: None },
        tools: Tools { specs: Arc::new(Vec::new()), catalog },
        playbooks: Playbooks { world },
        audit: Audit {
            head: Port::answering(move |_| Ok(Ok(head.clone()))),
            file: Port::answering(|_| Ok(Ok(None))),
            proof: shut(),
            vkey: shut(),
            log_key: shut(),
            entries: shut(),
        },
        health: Health {
            store: Port::answering(move |_| Ok(Ok(status.clone()))),
            head: Port::answering(move |_| Ok(Ok(again.clone()))),
            engine: Port::answering(move |_| Ok(engine.clone())),
        },
    }
}

/// A document that the checks of these stand-ins find good.
pub const GOOD: &str = r#"{"steps": [{"id": "only", "agent": "PACER", "tool": "cp.echo"}]}"#;

/// One agent with one tool, and one playbook.
fn world() -> World {
    let echo = ToolId::new("cp.echo").expect("a tool id");
    let pacer = AgentFacts { tools: vec![echo.clone()], timeout: Duration::from_secs(1) };
    let facts = ToolFacts { repeatable: true, needs_evidence: false, learn: false, changes: false };
    World {
        agents: BTreeMap::from([(AgentId::new("PACER").expect("an agent id"), pacer)]),
        tools: BTreeMap::from([(echo, facts)]),
        playbooks: BTreeMap::from([("good".to_owned(), good())]),
        ..World::default()
    }
}

pub fn good() -> Value {
    serde_json::from_str(GOOD).expect("JSON")
}

fn started() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).expect("in range")
}

/// A run that was just accepted.
pub fn run() -> Run {
    Run::accept(RunId(Uuid::nil()), check(&good(), &world()).expect("a plan"), "token:admin".to_owned(), started()).0
}

/// The journal of a run that was cancelled while its step ran; its last entry is number 9.
pub fn stored() -> StoredRun {
    let id = RunId(Uuid::nil());
    let (mut run, accepted) =
        Run::accept(id, check(&good(), &world()).expect("a plan"), "token:admin".to_owned(), started());
    let mut events = accepted.events;
    events.extend(run.advance(Trigger::Cancel { by: "token:admin".to_owned(), undo: false }, started()).events);
    let reason = Reason::new("cancelled", "step", "the step was cancelled");
    let answer = Answer::Done(StepResult::without_data(Status::Aborted, reason, 1.0));
    let only = StepId::new("only").expect("a step id");
    events.extend(run.advance(Trigger::Answer { step: only, attempt: 1, answer }, started()).events);
    let last = events.len() - 1;
    let row = |(seq, event): (usize, RunEvent)| {
        let row = JournalRow {
            seq: u32::try_from(seq).expect("few"),
            at: started(),
            kind: event.kind().to_owned(),
            step: event.step().cloned(),
            agent: None,
            tool: None,
            status: None,
            body: Body::of(&event).expect("JSON"),
            entry: None,
        };
        (row, (seq == last).then_some(9))
    };
    StoredRun {
        node: NodeId::new("n1").expect("a node id"),
        header: RunHeader {
            run: id,
            name: "a".to_owned(),
            mode: "dag".to_owned(),
            priority: "normal".to_owned(),
            labels: json!({}),
            accepted: started(),
        },
        status: "cancelled".to_owned(),
        outcome: None,
        rows: events.into_iter().enumerate().map(row).collect(),
    }
}
