//! What the configuration comes to on this host, before anything is started: every refusal that needs no actor.
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::agents::catalog::Catalog;
use crate::alerts::rule::Rule;
use crate::app::shipped::{self, ShippedError};
use crate::config::Config;
use crate::config::postgres::NoServer;
use crate::ids::NodeId;
use crate::learning::embed::ModelError;
use crate::secrets::{self, SecretError};
use crate::store::cluster::ClusterSpec;
use crate::toolkit::tpm_choice::TpmChoice;
use crate::tools::catalogue::CatalogueError;
use crate::tools::toolbox::Toolbox;
use crate::tpm::backend::{Backend, NoDevice};
use crate::workflow::fault::Limits;
use crate::workflow::retention::Kept;
use crate::workflow::world::World;

/// The database of the service in its own cluster.
const DATABASE: &str = "dsmil";
/// A cluster that must recover takes its time; a hung one is given up.
const CLUSTER_START: Duration = Duration::from_secs(120);
const CLUSTER_STOP: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    #[error("cannot listen on {address}: the port is in use; stop what uses it, or choose another with --listen")]
    PortTaken { address: SocketAddr },
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    NoServer(#[from] NoServer),
    #[error(
        "no TPM device was found and `swtpm` is not installed: run `apt-get install swtpm swtpm-tools`, or name a TPM with DSMIL_TPM"
    )]
    NoSwtpm,
    #[error(transparent)]
    NoDevice(#[from] NoDevice),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Tools(#[from] CatalogueError),
    #[error(transparent)]
    Shipped(#[from] ShippedError),
    #[error("the word vectors in this program cannot be used")]
    Model(#[from] ModelError),
}

/// Everything that is fixed for the life of the service.
pub struct Parts {
    pub node: NodeId,
    pub data_dir: PathBuf,
    /// None: the configuration names a database of somebody else's.
    pub cluster: Option<ClusterSpec>,
    pub database_name: String,
    pub tpm: TpmChoice,
    pub max_open_runs: usize,
    pub kept: Kept,
    pub toolbox: Arc<Toolbox>,
    pub catalog: Arc<Catalog>,
    pub world: Arc<World>,
    pub alerts: Arc<Vec<Rule>>,
    pub node_key: [u8; 32],
}

impl Parts {
    pub fn load(config: &Config) -> Result<Self, PartsError> {
        if Backend::of(&config.tpm.choice)? == Backend::Swtpm && !on_path("swtpm") {
            return Err(PartsError::NoSwtpm);
        }
        let toolbox = Toolbox::standard()?;
        let catalog = shipped::catalog(&config.agents, &toolbox)?;
        let limits = Limits { max_steps: config.engine.max_steps, max_value_bytes: config.engine.max_value_bytes };
        let world = shipped::world(&config.agents, &catalog, &toolbox, limits)?;
        Ok(Parts {
            node: config.node.clone(),
            data_dir: config.data_dir.clone(),
            cluster: cluster(config)?,
            database_name: DATABASE.to_owned(),
            tpm: config.tpm.choice.clone(),
            max_open_runs: config.engine.max_open_runs,
            kept: Kept { keys: config.engine.idempotency_keys_for, runs: config.engine.keep_runs.clone() },
            toolbox: Arc::new(toolbox),
            catalog: Arc::new(catalog),
            world: Arc::new(world),
            alerts: Arc::new(shipped::alerts(&config.watch)?),
            node_key: secrets::node_key(&config.data_dir)?,
        })
    }
}

fn cluster(config: &Config) -> Result<Option<ClusterSpec>, NoServer> {
    if config.postgres.url.is_some() {
        return Ok(None);
    }
    let home = config.data_dir.join("postgres");
    Ok(Some(ClusterSpec {
        bin_dir: config.postgres.server_dir()?,
        data_dir: home.join("data"),
        socket_dir: home.join("socket"),
        runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        port: config.postgres.port,
        run_as: None,
        start_within: CLUSTER_START,
        stop_within: CLUSTER_STOP,
    }))
}

/// Takes the address before anything else is begun.
pub fn bind(address: SocketAddr) -> Result<TcpListener, PartsError> {
    TcpListener::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => PartsError::PortTaken { address },
        _ => PartsError::Listen { address, source },
    })
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| is_program(&dir.join(program)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
