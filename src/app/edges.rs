//! Fills the routes with their ports, and makes the HTTP server a child of the tree that it shows.
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::Message;

use crate::actors::agent::Agent;
use crate::actors::auditor::Auditor;
use crate::actors::home::HomeError;
use crate::actors::learner::Learner;
use crate::actors::orchestrator::Orchestrator;
use crate::actors::root::RootHandle;
use crate::actors::signer::Signer;
use crate::actors::slot::Ref;
use crate::actors::store_reader::StoreReader;
use crate::actors::supervisor::SupervisorSpec;
use crate::app::parts::Parts;
use crate::app::tree;
use crate::app::tree::Data;
use crate::config::Config;
use crate::ids::AgentId;
use crate::messages::port::{AskError, Door, Port, Reply};
use crate::messages::supervision::{Describe, RestartChild};
use crate::web::agents::Agents;
use crate::web::audit::Audit;
use crate::web::auth::{Hosts, Tokens};
use crate::web::health::Health;
use crate::web::learner::Learner as LearnerRoutes;
use crate::web::playbooks::Playbooks;
use crate::web::routes::Edges;
use crate::web::server::server;
use crate::web::supervision::Supervision;
use crate::web::tools::Tools;
use crate::web::workflows::Workflows;

/// The children whose ports the routes need.
pub struct Doors<'a> {
    reader: &'a Ref<StoreReader>,
    signer: &'a Ref<Signer>,
    auditor: &'a Ref<Auditor>,
    orchestrator: &'a Ref<Orchestrator>,
    agents: &'a BTreeMap<AgentId, Ref<Agent>>,
    learner: &'a Ref<Learner>,
}

impl<'a> Doors<'a> {
    pub fn new(
        data: &'a Data,
        signer: &'a Ref<Signer>,
        auditor: &'a Ref<Auditor>,
        orchestrator: &'a Ref<Orchestrator>,
        agents: &'a BTreeMap<AgentId, Ref<Agent>>,
        learner: &'a Ref<Learner>,
    ) -> Self {
        Doors { reader: &data.reader, signer, auditor, orchestrator, agents, learner }
    }
}

/// The ports of the root, which exists only once the tree with the server in it has been started.
#[derive(Clone, Default)]
pub struct TreeDoor {
    describe: Arc<OnceLock<Port<Describe>>>,
    restart: Arc<OnceLock<Port<RestartChild>>>,
}

impl TreeDoor {
    pub fn open(&self, root: &RootHandle) {
        self.describe.get_or_init(|| root.describe.clone());
        self.restart.get_or_init(|| root.restart.clone());
    }
}

/// A door that is shut until its port is known.
struct Late<M: Message>(Arc<OnceLock<Port<M>>>);

impl<M> Door<M> for Late<M>
where
    M: Message + Send + 'static,
    M::Result: Send + 'static,
{
    fn ask(&self, message: M, within: Duration) -> Reply<M> {
        let port = self.0.get().cloned();
        Box::pin(async move {
            match port {
                Some(port) => port.ask_within(message, within).await,
                None => Err(not_yet()),
            }
        })
    }

    fn try_tell(&self, message: M) -> Result<(), AskError> {
        self.0.get().ok_or_else(not_yet)?.try_tell(message)
    }
}

fn not_yet() -> AskError {
    AskError::Unavailable { retry_after: Duration::from_secs(1), reason: "the service is being started".into() }
}

pub fn edges(
    config: &Config,
    parts: &Parts,
    doors: Doors<'_>,
    listener: TcpListener,
) -> Result<(SupervisorSpec, TreeDoor), HomeError> {
    let tree_door = TreeDoor::default();
    let describe = Port::new(Arc::new(Late(Arc::clone(&tree_door.describe))));
    let restart = Port::new(Arc::new(Late(Arc::clone(&tree_door.restart))));
    let Doors { reader, signer, auditor, orchestrator, agents, learner } = doors;
    let of_agents = || agents.iter();
    let edges = Edges {
        tokens: Tokens::new(parts.admin_token),
        hosts: Hosts::of(config.web.listen),
        workflows: Workflows {
            world: Arc::clone(&parts.world),
            start: orchestrator.port(),
            get: orchestrator.port(),
            watch: orchestrator.port(),
            cancel: orchestrator.port(),
            load: reader.port(),
            list: reader.port(),
            node: parts.node.clone(),
        },
        agents: Agents {
            catalog: Arc::clone(&parts.catalog),
            tree: describe.clone(),
            restart,
            stats: Arc::new(of_agents().map(|(id, agent)| (id.clone(), agent.port())).collect()),
            drill: config
                .drills
                .enabled
                .then(|| Arc::new(of_agents().map(|(id, agent)| (id.clone(), agent.port())).collect())),
        },
        learner: LearnerRoutes {
            predict: learner.port(),
            status: learner.port(),
            drill: config.drills.enabled.then(|| learner.port()),
        },
        supervision: Supervision { tree: describe },
        tools: Tools { specs: Arc::new(parts.toolbox.specs().cloned().collect()), catalog: Arc::clone(&parts.catalog) },
        playbooks: Playbooks { world: Arc::clone(&parts.world) },
        audit: Audit {
            head: auditor.port(),
            file: auditor.port(),
            proof: auditor.port(),
            vkey: auditor.port(),
            log_key: signer.port(),
            entries: reader.port(),
        },
        health: Health { store: reader.port(), head: auditor.port(), engine: orchestrator.port() },
    };
    let make = move |listener| server(listener, edges.clone());
    let spec = tree::edges(Arc::new(listener), Arc::new(make))?;
    Ok((spec, tree_door))
}
