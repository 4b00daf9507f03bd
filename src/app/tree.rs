//! The supervision tree: every child, its rules, and the doors between them.
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::actors::access::{Access, Shared};
use crate::actors::agent::Agent;
use crate::actors::auditor::{Auditor, AuditorPorts};
use crate::actors::child::{ChildOptions, ChildSpec, Place, Readiness};
use crate::actors::compute::pool::Pool;
use crate::actors::dynamic::DynamicSpec;
use crate::actors::dynamic::handle::Dynamic;
use crate::actors::engine::{self, EngineSpec};
use crate::actors::engine_doors::Doors;
use crate::actors::home::{Home, HomeError};
use crate::actors::hub::Hub;
use crate::actors::learner::Learner;
use crate::actors::legacy::Legacy;
use crate::actors::orchestrator::Orchestrator;
use crate::actors::postgres::Postgres;
use crate::actors::scribe::Scribe;
use crate::actors::server::{HttpServer, MakeServer};
use crate::actors::signer::{Deadlines, Signer};
use crate::actors::slot::Ref;
use crate::actors::store_reader::StoreReader;
use crate::actors::store_writer::StoreWriter;
use crate::actors::submissions::Submissions;
use crate::actors::supervisor::SupervisorSpec;
use crate::actors::teach::Teach;
use crate::actors::tpm::TpmKeeper;
use crate::agents::catalog::Catalog;
use crate::agents::profile::AgentProfile;
use crate::app::parts::Parts;
use crate::ids::AgentId;
use crate::messages::auditor::EntriesCommitted;
use crate::messages::events::Publish;
use crate::messages::port::{AskError, Port};
use crate::recovery::action::Restraint;
use crate::resilience::admission::Priority;
use crate::resilience::breaker::BreakerOptions;
use crate::resilience::restart::Intensity;
use crate::resilience::roster::Strategy;
use crate::store::database::{Database, Readers};
use crate::toolkit::bench::Workbench;
use crate::tools::toolbox::Toolbox;

/// Agents per supervisor: one restart budget, one arbiter. Eight arbiters keep one blocked agent from holding up more
/// than its own group, and cost less memory than eighty.
const GROUP: usize = 10;
/// Threads that runs live on: one that is held keeps only its half of the runs waiting.
const RUN_HOMES: usize = 2;
const MINUTE: Duration = Duration::from_secs(60);
/// PostgreSQL may have to recover from a crash; it gives up by itself before this.
const CLUSTER_WITHIN: Duration = Duration::from_secs(150);
pub(super) const READY_WITHIN: Duration = Duration::from_secs(45);
/// What stands in front of an outside part comes back as soon as that part does.
const OUTSIDE_OPEN_FOR: Duration = Duration::from_secs(2);

/// Ways into the children that the rest of the service uses.
pub struct Members {
    pub reader: Ref<StoreReader>,
    pub writer: Ref<StoreWriter>,
    pub signer: Ref<Signer>,
    pub auditor: Ref<Auditor>,
    pub orchestrator: Ref<Orchestrator>,
    pub agents: BTreeMap<AgentId, Ref<Agent>>,
}

/// The database with its readers and its one writer; below a server of our own unless another one is named.
pub struct Data {
    pub spec: SupervisorSpec,
    pub reader: Ref<StoreReader>,
    pub submissions: Ref<Submissions>,
    pub writer: Ref<StoreWriter>,
    pub committed: Arc<OnceLock<Port<EntriesCommitted>>>,
}

pub(super) fn options(home: &Arc<Home>) -> ChildOptions {
    ChildOptions::at(Place::Shared(Arc::clone(home)))
}

pub(super) fn supervisor(name: &str, strategy: Strategy, most: usize, children: Vec<ChildSpec>) -> SupervisorSpec {
    SupervisorSpec { name: name.to_owned(), strategy, intensity: Intensity { max: most, within: MINUTE }, children }
}

pub(super) fn outside() -> Option<BreakerOptions> {
    Some(BreakerOptions { open_for: OUTSIDE_OPEN_FOR, ..BreakerOptions::default() })
}

/// Tells the auditor of commits once there is an auditor.
fn later(door: &Arc<OnceLock<Port<EntriesCommitted>>>) -> Port<EntriesCommitted> {
    let door = Arc::clone(door);
    Port::answering(move |news| match door.get() {
        Some(port) => port.try_tell(news),
        None => Err(AskError::Unavailable { retry_after: Duration::ZERO, reason: "not built yet".into() }),
    })
}

pub fn data(parts: &Parts, database: &Database, readers: &Readers) -> Result<Data, HomeError> {
    let home = Home::start("data")?;
    let mut children = Vec::new();
    if let Some(spec) = parts.cluster.clone() {
        let name = parts.database_name.clone();
        let rules = ChildOptions {
            readiness: Readiness::WhenReady { within: CLUSTER_WITHIN },
            grace: Duration::from_secs(20),
            breaker: None,
            ..options(&home)
        };
        children.push(ChildSpec::worker("postgres", rules, move || Postgres::new(spec.clone(), name.clone())).0);
    }
    let committed = Arc::new(OnceLock::new());
    let (node, epoch, auditor) = (parts.node.clone(), Arc::new(OnceLock::new()), later(&committed));
    let database = database.clone();
    let rules = ChildOptions {
        readiness: Readiness::WhenReady { within: READY_WITHIN },
        cap: 4096,
        breaker: outside(),
        ..options(&home)
    };
    let kept = parts.kept.clone();
    let make = move || {
        StoreWriter::new(database.clone(), node.clone(), epoch.clone(), Some(auditor.clone())).keep(kept.clone())
    };
    let (spec, writer) = ChildSpec::worker("store-writer", rules, make);
    children.push(spec);
    let (node, of_keys) = (parts.node.clone(), readers.clone());
    let rules = ChildOptions { cap: 1024, breaker: outside(), ..options(&home) };
    let keys_for = parts.kept.keys;
    let make = move || Submissions::new(of_keys.clone(), node.clone(), keys_for);
    let (submissions_spec, submissions) = ChildSpec::worker("submissions", rules, make);
    let (node, readers) = (parts.node.clone(), readers.clone());
    let rules = ChildOptions { cap: 1024, breaker: outside(), ..options(&home) };
    let (spec, reader) =
        ChildSpec::worker("store-reader", rules, move || StoreReader::new(readers.clone(), node.clone()));
    children.extend([spec, submissions_spec]);
    let spec = supervisor("data", Strategy::RestForOne, 10, children);
    Ok(Data { spec, reader, submissions, writer, committed })
}

pub fn trust(
    parts: &Parts,
    data: &Data,
    pool: &Ref<Pool>,
) -> Result<(SupervisorSpec, Ref<Signer>, Ref<Auditor>), HomeError> {
    let home = Home::start("trust")?;
    let ready = Readiness::WhenReady { within: READY_WITHIN };
    let (choice, state) = (parts.tpm.clone(), parts.data_dir.join("tpm"));
    let rules = ChildOptions { readiness: ready, breaker: None, ..options(&home) };
    let (keeper_spec, keeper) = ChildSpec::worker("tpm", rules, move || TpmKeeper::new(choice.clone(), state.clone()));
    let (locate, hung) = (keeper.port(), keeper.port());
    let rules = ChildOptions { readiness: ready, breaker: outside(), ..options(&home) };
    let make = move || Signer::new(locate.clone(), hung.clone(), Deadlines::default());
    let (signer_spec, signer) = ChildSpec::worker("signer", rules, make);
    let ports = AuditorPorts {
        key: signer.port(),
        sign: signer.port_for(Priority::Critical),
        append: data.writer.port_for(Priority::Critical),
        count: data.reader.port_for(Priority::Critical),
        load: data.reader.port_for(Priority::Critical),
        compute: pool.port_for(Priority::Critical),
    };
    let (node, dir) = (parts.node.clone(), parts.data_dir.join("audit"));
    let rules = ChildOptions { readiness: ready, cap: 4096, breaker: outside(), ..options(&home) };
    let make = move || Auditor::new(&node, dir.clone(), ports.clone());
    let (auditor_spec, auditor) = ChildSpec::worker("auditor", rules, make);
    // The first to know wins; there is only one.
    data.committed.get_or_init(|| auditor.port());
    let children = vec![keeper_spec, signer_spec, auditor_spec];
    Ok((supervisor("trust", Strategy::RestForOne, 10, children), signer, auditor))
}

/// Supervisors of ten agents each, in the order of the agents' ids.
pub fn agents(
    catalog: &Catalog,
    toolbox: &Arc<Toolbox>,
    bench: &Arc<Workbench>,
    restraint: &watch::Receiver<Restraint>,
) -> Result<(SupervisorSpec, BTreeMap<AgentId, Ref<Agent>>), HomeError> {
    let profiles: Vec<&Arc<AgentProfile>> = catalog.iter().collect();
    let mut groups = Vec::new();
    let mut members = BTreeMap::new();
    for (number, group) in profiles.chunks(GROUP).enumerate() {
        let name = format!("agents-{number}");
        let home = Home::start(&name)?;
        let mut children = Vec::new();
        for profile in group {
            let (profile, toolbox, bench) = (Arc::clone(profile), Arc::clone(toolbox), Arc::clone(bench));
            // The agent ends a late tool itself.
            let rules = ChildOptions { deadline: None, breaker: Some(profile.breaker.clone()), ..options(&home) };
            let id = profile.id.clone();
            let restraint = restraint.clone();
            let make =
                move || Agent::new(Arc::clone(&profile), Arc::clone(&toolbox), Arc::clone(&bench), restraint.clone());
            let (spec, agent) = ChildSpec::worker(id.as_str(), rules, make);
            children.push(spec);
            members.insert(id, agent);
        }
        groups.push(ChildSpec::supervisor(supervisor(&name, Strategy::OneForOne, 20, children)));
    }
    Ok((supervisor("agents", Strategy::OneForOne, 10, groups), members))
}

pub fn engine(
    parts: &Parts,
    data: &Data,
    agents: &BTreeMap<AgentId, Ref<Agent>>,
    learner: &Ref<Learner>,
    teach: Teach,
    feed: Port<Publish>,
    restraint: watch::Receiver<Restraint>,
) -> Result<(SupervisorSpec, Ref<Orchestrator>), HomeError> {
    let doors = Doors {
        agents: Arc::new(agents.iter().map(|(id, agent)| (id.clone(), agent.port())).collect()),
        begin: data.writer.port(),
        // what runs already comes before what is only asked for
        append: data.writer.port_for(Priority::Critical),
        settle: data.writer.port_for(Priority::Critical),
        load_open: data.reader.port_for(Priority::Critical),
        load: data.reader.port_for(Priority::Critical),
        load_unlearned: data.reader.port(),
        list: data.reader.port(),
        feed,
        choose: learner.port(),
        teach,
    };
    // It answers once the database has confirmed: when that is slow, the engine is not sick.
    let breaker = outside().map(|breaker| BreakerOptions { slow: Duration::from_secs(60), ..breaker });
    let rules = ChildOptions { cap: 4096, breaker, ..options(&Home::start("engine")?) };
    let homes = (0..RUN_HOMES).map(|number| Home::start(format!("runs-{number}"))).collect::<Result<_, _>>()?;
    let (node, most) = (parts.node.clone(), parts.max_open_runs);
    Ok(engine::engine(EngineSpec { node, doors, restraint, most, homes, options: rules }))
}

/// Who is admitted. It is asked for changes only: a request that reads needs no actor for its right.
pub fn access(
    parts: &Parts,
    readers: &Readers,
    scribe: &Scribe,
    book: Shared,
) -> Result<(SupervisorSpec, Ref<Access>), HomeError> {
    let home = Home::start("access")?;
    let (node, dir, readers, scribe) = (parts.node.clone(), parts.data_dir.clone(), readers.clone(), scribe.clone());
    let make = move || Access::new(node.clone(), dir.clone(), readers.clone(), scribe.clone(), book.clone());
    let (spec, access) = ChildSpec::worker("keys", options(&home), make);
    Ok((supervisor("access", Strategy::OneForOne, 10, vec![spec]), access))
}

/// What watchers see. It lives apart from the HTTP server, whose restart it survives.
pub fn hub() -> Result<(ChildSpec, Ref<Hub>), HomeError> {
    let home = Home::start("hub")?;
    // Being without it for long would blind the operators; what it knows outlives it.
    let rules = ChildOptions { cap: 8_192, breaker: outside(), ..options(&home) };
    let legacy = Arc::new(Legacy::default());
    Ok(ChildSpec::worker("hub", rules, move || Hub::new(&legacy)))
}

pub fn edges(
    hub: ChildSpec,
    sessions: ChildSpec,
    listener: Arc<std::net::TcpListener>,
    make: Arc<MakeServer>,
) -> Result<SupervisorSpec, HomeError> {
    let home = Home::start("edges")?;
    let rules = ChildOptions { grace: Duration::from_secs(12), breaker: None, ..options(&home) };
    let (spec, _) = ChildSpec::worker("http", rules, move || HttpServer::new(Arc::clone(&listener), Arc::clone(&make)));
    Ok(supervisor("edges", Strategy::OneForOne, 10, vec![hub, spec, sessions]))
}

/// The open WebSockets. They come after the HTTP server, so that they are told to go before it waits for the end of
/// what it serves.
pub fn sessions(most: usize) -> (ChildSpec, Dynamic) {
    let intensity = Intensity { max: 10, within: MINUTE };
    Dynamic::new(DynamicSpec { name: "sessions".to_owned(), intensity, most_failures: 0, most })
}

/// Started from the first to the last, stopped from the last to the first.
pub fn root(parts: Vec<SupervisorSpec>) -> SupervisorSpec {
    supervisor("root", Strategy::OneForOne, 5, parts.into_iter().map(ChildSpec::supervisor).collect())
}
