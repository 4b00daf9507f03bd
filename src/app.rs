//! Builds every part of the service, starts it and stops it; the only file that knows them all.
//!
//! ```text
//! privileges given up -> data directory locked -> address bound -> parts loaded     each refusal ends the start
//!   -> tree started -> database, TPM and engine ready -> run/service.json           within a deadline
//!   -> SIGTERM, SIGINT, or the root gave up -> stopped in reverse order -> broker ended
//! ```
pub mod desk;
pub mod edges;
pub mod faculties;
pub mod news;
pub mod parts;
pub mod ready;
pub mod service_manager;
pub mod shipped;
pub mod tree;
pub mod tree_compute;
pub mod tree_learner;
pub mod tree_schedules;
pub mod watch;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::sync::watch as watched;
use tracing::{error, info, warn};

use crate::actors::alert_archive::Archive;
use crate::actors::home::HomeError;
use crate::actors::root::{RootHandle, start_root};
use crate::actors::scribe::Scribe;
use crate::actors::teach::Teach;
use crate::app::desk::Desk;
use crate::app::edges::TreeDoor;
use crate::app::parts::{Parts, PartsError, bind};
use crate::app::ready::{AnnounceError, Announcement, NotReady};
use crate::app::watch::Sights;
use crate::artifacts::ArtifactDir;
use crate::broker::privileges::{self, PrivilegeError, Privileges};
use crate::clock;
use crate::config::Config;
use crate::config::data_dir::{DataDir, DataDirError};
use crate::messages::supervision::SupervisionEvent;
use crate::recovery::action::Restraint;
use crate::resilience::admission::Priority;
use crate::store::database::{BadUrl, Database};
use crate::toolkit::bench::Workbench;
use crate::toolkit::cx::Writes;
use crate::workflow::record::StoreError;

/// For all children together, once a stop is asked for.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Connections that readers share.
const READERS: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Parts(#[from] PartsError),
    #[error("DATABASE_URL cannot be used")]
    Url(#[from] BadUrl),
    #[error("the connections to the database cannot be prepared")]
    Readers(#[source] StoreError),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error("the signals of the process cannot be listened for")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    NotReady(#[from] NotReady),
    #[error(transparent)]
    Announce(#[from] AnnounceError),
    #[error("the service gave up: {reason}")]
    GaveUp { reason: String },
}

/// Serves until it is told to stop. To be called on the main thread before there is any other.
pub fn serve(config: &Config) -> Result<(), ServeError> {
    let privileges = privileges::enter(config)?;
    let data_dir = DataDir::open(&config.data_dir)?;
    let listener = bind(config.web.listen)?;
    let parts = Parts::load(config)?;
    for facility in &privileges.lost {
        info!("not available to `{}`: {facility}", privileges.user);
    }
    crate::actors::panics::log_panics();
    let no_broker = privileges.why_unprivileged();
    let served = actix_rt::System::new().block_on(run(config, parts, listener, no_broker));
    end_broker(privileges);
    drop(data_dir);
    served
}

fn end_broker(privileges: Privileges) {
    if let Some(Err(fault)) = privileges.broker.map(|broker| broker.end()) {
        warn!("the broker did not end in good order: {fault}");
    }
}

async fn run(config: &Config, parts: Parts, listener: TcpListener, no_broker: String) -> Result<(), ServeError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let Running { root, scribe, readiness, announcement } = build(config, parts, listener, no_broker)?;
    actix_rt::spawn(service_manager::feed_watchdog(root.pulse()));
    let gave_up = root.gave_up();
    tokio::pin!(gave_up);

    let ready = tokio::select! {
        ready = readiness.wait() => ready.map_err(|fault| ServeError::from(hinted(fault, config))).and_then(|epoch| Ok((epoch, announcement.publish(epoch)?))),
        reason = &mut gave_up => Err(ServeError::GaveUp { reason }),
        _ = interrupt.recv() => Err(NotReady::Interrupted.into()),
        _ = terminate.recv() => Err(NotReady::Interrupted.into()),
    };
    let ended = match ready {
        Err(fault) => Err(fault),
        Ok((epoch, published)) => {
            info!(url = %published.url, epoch, "ready at {}", published.url);
            let ended = tokio::select! {
                reason = &mut gave_up => Err(ServeError::GaveUp { reason }),
                _ = interrupt.recv() => Ok(()),
                _ = terminate.recv() => Ok(()),
            };
            let last_word = scribe.note_own("service.stopped", if ended.is_ok() { "ok" } else { "failed" });
            if tokio::time::timeout(Duration::from_secs(2), last_word).await.is_err() {
                warn!("the end of the service could not be recorded");
            }
            published.withdraw();
            ended
        }
    };
    let farewell = root.shutdown(STOP_WITHIN).await;
    for path in farewell.left_behind {
        error!("{path} did not stop in time and is left behind");
    }
    ended
}

/// A database of somebody else's cannot be mended by us; the operator should know which setting named it.
fn hinted(fault: NotReady, config: &Config) -> NotReady {
    match fault {
        NotReady::Hopeless { path, reason } if config.postgres.url.is_some() && path.ends_with("store-writer") => {
            NotReady::Hopeless { path, reason: format!("{reason}; is DATABASE_URL right, and is its server running?") }
        }
        other => other,
    }
}

/// What `run` needs of the service once it is built.
struct Running {
    root: RootHandle,
    scribe: Scribe,
    readiness: ready::Readiness,
    announcement: Announcement,
}

fn build(config: &Config, parts: Parts, listener: TcpListener, no_broker: String) -> Result<Running, ServeError> {
    let database = match (&config.postgres.url, &parts.cluster) {
        (Some(url), _) => Database::from_url(url.reveal())?,
        (None, Some(cluster)) => cluster.database(&parts.database_name),
        (None, None) => return Err(BadUrl.into()),
    };
    let readers = database.readers(READERS).map_err(ServeError::Readers)?;
    let data = tree::data(&parts, &database, &readers)?;
    let (compute, pool) = tree_compute::compute(&config.compute)?;
    let (trust, signer, auditor) = tree::trust(&parts, &data, &pool)?;
    let connections = database.readers(tree_learner::CONNECTIONS).map_err(ServeError::Readers)?;
    let learning = tree_learner::learner(&parts, tree_learner::knowledge(&parts)?, &connections)?;
    let bench = Arc::new(Workbench {
        node: parts.node.clone(),
        roots: Arc::new(config.roots.clone()),
        writes: Arc::new(Writes {
            scratch: config.tools.fs_write_root.clone().unwrap_or_else(|| parts.data_dir.join("scratch")),
            undo: parts.data_dir.join("undo"),
        }),
        time: Arc::new(faculties::SystemTime),
        sign: Arc::new(faculties::TpmSign { quote: signer.port(), sign: signer.port() }),
        history: Arc::new(faculties::StoreHistory { last: data.reader.port(), load: data.reader.port() }),
        learning: Arc::new(faculties::PortLearning { load: learning.store.port() }),
        artifacts: Arc::new(ArtifactDir::new(parts.data_dir.join("artifacts"))),
        hash: Arc::new(faculties::PoolHash { compute: pool.port() }),
        hash_key: parts.node_key,
        no_broker: Some(no_broker),
    });
    let (restrain, restraint) = watched::channel(Restraint::NONE);
    let (agents, members) = tree::agents(&parts.catalog, &parts.toolbox, &bench, &restraint)?;
    let (hub_spec, hub) = tree::hub()?;
    let teach = Teach::new(learning.learner.port_for(Priority::Background));
    let feed = hub.port();
    let (mut engine, orchestrator) =
        tree::engine(&parts, &data, &members, &learning.learner, teach.clone(), feed, restraint)?;

    let scribe =
        Scribe::new(parts.node.clone(), data.writer.port_for(Priority::Critical), auditor.port_for(Priority::Critical));
    let schedules = tree_schedules::schedules(&parts, &data, &readers, &orchestrator, &scribe)?;
    engine.children.extend(schedules.specs);
    let (book, admitted) = watched::channel(None);
    let (access_spec, access) = tree::access(&parts, &readers, &scribe, book)?;
    let address = listener.local_addr().map_err(|source| PartsError::Listen { address: config.web.listen, source })?;
    let tree_door = TreeDoor::default();
    let archive = Archive {
        database: readers.clone(),
        scribe: scribe.clone(),
        webhook: config.watch.webhook.clone(),
        dashboard: format!("http://{address}/"),
    };
    let sights = Sights {
        data: &data,
        auditor: &auditor,
        orchestrator: &orchestrator,
        agents: &members,
        restrain: Arc::new(restrain),
        tree: tree_door.describe(),
        feed: hub.port(),
        archive,
    };
    let (watch_spec, alerts) = watch::watch(config, &parts, sights)?;
    let doors = edges::Doors {
        reader: &data.reader,
        submissions: &data.submissions,
        signer: &signer,
        auditor: &auditor,
        orchestrator: &orchestrator,
        scheduler: &schedules.scheduler,
        schedule_store: &schedules.store,
        agents: &members,
        learner: &learning.learner,
        teach,
        pool: &pool,
        access: &access,
        alerts: &alerts,
        hub: &hub,
        admitted: admitted.clone(),
    };
    let edge = edges::edges(config, &parts, doors, &tree_door, &scribe, hub_spec, listener)?;
    let (trouble, seen) = watched::channel(None);
    let readiness = ready::Readiness::new(
        scribe.clone(),
        auditor.port(),
        orchestrator.port(),
        schedules.scheduler.port(),
        admitted,
        seen,
    );
    let announcement = Announcement::new(&parts.data_dir, address);

    let (tell, news) = mpsc::unbounded_channel::<SupervisionEvent>();
    let (hand_on, recorded) = mpsc::unbounded_channel();
    let spec =
        tree::root(vec![data.spec, compute, trust, learning.spec, agents, engine, access_spec, watch_spec, edge]);
    let root = start_root(spec, move |event| {
        // The desk lives as long as the main thread: when it has gone nobody is left to tell.
        drop(tell.send(event));
    })?;
    tree_door.open(&root);
    actix_rt::spawn(Desk { recorder: hand_on, trouble, feed: hub.port() }.run(news));
    actix_rt::spawn(news::record(scribe.clone(), recorded));
    info!(node = %parts.node, at = %clock::wall(), "node {} begins with {} agents", parts.node, parts.catalog.len());
    Ok(Running { root, scribe, readiness, announcement })
}
