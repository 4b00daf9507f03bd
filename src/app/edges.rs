//! Fills the routes with their ports, and makes the HTTP server a child of the tree that it shows.
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::Message;
use tokio::sync::watch;

use crate::access::book::Book;
use crate::actors::access::Access;
use crate::actors::agent::Agent;
use crate::actors::alert_handler::AlertHandler;
use crate::actors::auditor::Auditor;
use crate::actors::child::ChildSpec;
use crate::actors::compute::pool::Pool;
use crate::actors::home::HomeError;
use crate::actors::hub::Hub;
use crate::actors::interventions::recorded;
use crate::actors::learner::Learner;
use crate::actors::orchestrator::Orchestrator;
use crate::actors::root::RootHandle;
use crate::actors::schedule_store::ScheduleStore;
use crate::actors::scheduler::Scheduler;
use crate::actors::scribe::Scribe;
use crate::actors::signer::Signer;
use crate::actors::slot::Ref;
use crate::actors::store_reader::StoreReader;
use crate::actors::submissions::Submissions;
use crate::actors::supervisor::SupervisorSpec;
use crate::actors::teach::Teach;
use crate::app::parts::Parts;
use crate::app::tree::{edges as edges_spec, sessions};
use crate::config::Config;
use crate::ids::AgentId;
use crate::messages::port::{AskError, Door, Port, Reply};
use crate::messages::supervision::{Describe, Intervene};
use crate::resilience::admission::Priority;
use crate::web::agents::Agents;
use crate::web::alerts::Alerts;
use crate::web::audit::Audit;
use crate::web::auth::Admission;
use crate::web::compute::Compute;
use crate::web::health::Health;
use crate::web::hosts::Hosts;
use crate::web::learner::Learner as LearnerRoutes;
use crate::web::playbooks::Playbooks;
use crate::web::routes::Edges;
use crate::web::schedules::Schedules;
use crate::web::server::server;
use crate::web::sessions::Sessions;
use crate::web::stream::Stream;
use crate::web::supervision::Supervision;
use crate::web::tokens::Tokens;
use crate::web::tools::Tools;
use crate::web::workflows::Workflows;

/// The children whose ports the routes need, and who is admitted.
pub struct Doors<'a> {
    pub reader: &'a Ref<StoreReader>,
    pub submissions: &'a Ref<Submissions>,
    pub signer: &'a Ref<Signer>,
    pub auditor: &'a Ref<Auditor>,
    pub orchestrator: &'a Ref<Orchestrator>,
    pub scheduler: &'a Ref<Scheduler>,
    pub schedule_store: &'a Ref<ScheduleStore>,
    pub agents: &'a BTreeMap<AgentId, Ref<Agent>>,
    pub learner: &'a Ref<Learner>,
    pub teach: Teach,
    pub pool: &'a Ref<Pool>,
    pub access: &'a Ref<Access>,
    pub alerts: &'a Ref<AlertHandler>,
    pub hub: &'a Ref<Hub>,
    pub admitted: watch::Receiver<Option<Arc<Book>>>,
}

/// The ports of the root, which exists only once the tree with the server in it has been started.
#[derive(Clone, Default)]
pub struct TreeDoor {
    describe: Arc<OnceLock<Port<Describe>>>,
    intervene: Arc<OnceLock<Port<Intervene>>>,
}

impl TreeDoor {
    pub fn describe(&self) -> Port<Describe> {
        Port::new(Arc::new(Late(Arc::clone(&self.describe))))
    }

    /// Each intervention is on record before it is carried out.
    pub fn intervene(&self, scribe: &Scribe) -> Port<Intervene> {
        recorded(scribe.clone(), Port::new(Arc::new(Late(Arc::clone(&self.intervene)))))
    }

    pub fn open(&self, root: &RootHandle) {
        self.describe.get_or_init(|| root.describe.clone());
        self.intervene.get_or_init(|| root.intervene.clone());
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
    tree: &TreeDoor,
    scribe: &Scribe,
    hub_spec: ChildSpec,
    listener: TcpListener,
) -> Result<SupervisorSpec, HomeError> {
    let (describe, intervene) = (tree.describe(), tree.intervene(scribe));
    let drill = config.drills.enabled.then(|| intervene.clone());
    let Doors {
        reader,
        submissions,
        signer,
        auditor,
        orchestrator,
        scheduler,
        schedule_store,
        agents,
        learner,
        teach,
        pool,
        access,
        alerts,
        hub,
        admitted,
    } = doors;
    let (sessions_spec, sessions) = sessions(config.web.max_sessions);
    let of_agents = || agents.iter();
    let edges = Edges {
        admission: Admission::new(admitted),
        hosts: Hosts::of(&config.web),
        tokens: Tokens { create: access.port(), revoke: access.port() },
        sessions: Sessions { open: access.port(), close: access.port(), ticket: access.port() },
        alerts: Alerts { list: alerts.port(), ack: alerts.port(), readings: alerts.port(), observe: alerts.port() },
        stream: Stream {
            join: hub.port(),
            said: hub.port(),
            read: hub.port(),
            leave: hub.port(),
            redeem: access.port(),
            adopt: sessions.guests(),
            most: config.web.max_sessions,
        },
        workflows: Workflows {
            world: Arc::clone(&parts.world),
            start: orchestrator.port(),
            get: orchestrator.port(),
            watch: orchestrator.port(),
            steer: orchestrator.port_for(Priority::System),
            load: reader.port(),
            list: reader.port(),
            find: submissions.port(),
            node: parts.node.clone(),
        },
        schedules: Schedules {
            create: scheduler.port(),
            list: scheduler.port(),
            get: scheduler.port(),
            pause: scheduler.port(),
            run: scheduler.port(),
            delete: scheduler.port(),
            firings: schedule_store.port(),
            world: Arc::clone(&parts.world),
        },
        agents: Agents {
            catalog: Arc::clone(&parts.catalog),
            tree: describe.clone(),
            intervene,
            stats: Arc::new(of_agents().map(|(id, agent)| (id.clone(), agent.port())).collect()),
            drill: drill.clone(),
        },
        learner: LearnerRoutes {
            predict: learner.port(),
            status: learner.port(),
            hand_over: Port::answering(move |_| Ok(teach.status())),
            drill: drill.clone(),
        },
        compute: Compute { status: pool.port() },
        supervision: Supervision { tree: describe, drill },
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
        health: Health { store: reader.port(), head: auditor.port(), engine: orchestrator.port_for(Priority::System) },
    };
    let make = move |listener| server(listener, edges.clone());
    edges_spec(hub_spec, sessions_spec, Arc::new(listener), Arc::new(make))
}
