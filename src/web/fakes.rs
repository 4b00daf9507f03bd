//! Stand-ins for the parts behind the routes: each port is a function, as far as a test needs one.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use sha2::{Digest as _, Sha256};

use crate::agents::catalog::Catalog;
use crate::ids::Digest;
use crate::messages::auditor::SignedHead;
use crate::messages::orchestrator::EngineStatus;
use crate::messages::port::AskError;
use crate::messages::port::Port;
use crate::messages::store::StoreStatus;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;
use crate::web::agents::Agents;
use crate::web::audit::Audit;
use crate::web::auth::Hosts;
use crate::web::auth::Tokens;
use crate::web::health::Health;
use crate::web::playbooks::Playbooks;
use crate::web::routes::Edges;
use crate::web::supervision::Supervision;
use crate::web::tools::Tools;
use crate::web::workflows::Workflows;

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
    Node {
        name: name.to_owned(),
        kind: NodeKind::Worker,
        strategy: None,
        state: ChildState::Up,
        epoch: 1,
        restarts_in_window: 0,
        restarts: 0,
        breaker: None,
        queue: 0,
        last_exit: None,
        arbiter: None,
        children: Vec::new(),
    }
}

/// A service whose parts are healthy; what a test asks of the rest it puts in itself.
pub fn edges() -> Edges {
    let head = SignedHead { size: 3, root: Digest([7; 32]), note: "dsmil/n1\n3\n\n".to_owned() };
    let again = head.clone();
    let status = StoreStatus { version: "PostgreSQL 18".to_owned(), migrations: Vec::new(), size_bytes: 1 };
    let engine = EngineStatus { open_runs: 0, running_steps: 0, recovered: true };
    let catalog = Arc::new(Catalog::default());
    Edges {
        tokens: Tokens::new(Sha256::digest(TOKEN.as_bytes()).into()),
        hosts: Hosts::of(([127, 0, 0, 1], 8787).into()),
        workflows: Workflows {
            start: shut(),
            get: Port::answering(|_| Ok(None)),
            watch: Port::answering(|_| Ok(None)),
            cancel: Port::answering(|_| Ok(false)),
            load: Port::answering(|_| Ok(Ok(None))),
            list: shut(),
        },
        agents: Agents {
            catalog: Arc::clone(&catalog),
            tree: Port::answering(|_| Ok(worker("root"))),
            restart: Port::answering(|_| Ok(true)),
            stats: Arc::new(BTreeMap::new()),
            drill: None,
        },
        supervision: Supervision { tree: Port::answering(|_| Ok(worker("root"))) },
        tools: Tools { specs: Arc::new(Vec::new()), catalog },
        playbooks: Playbooks { documents: Arc::new(BTreeMap::new()) },
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
