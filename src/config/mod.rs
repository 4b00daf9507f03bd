//! Configuration: defaults, file, environment and flags, each parsed into types that cannot be wrong.
//!
//! Later sources win: built-in defaults, then one file, then the environment, then flags. Every key is listed in
//! its section's `KEYS`; what is not listed is a fault, and all faults are reported at once.
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::config::agents::AgentsConfig;
use crate::config::compute::ComputeConfig;
use crate::config::drills::DrillsConfig;
use crate::config::engine::EngineConfig;
use crate::config::fault::{ConfigError, ConfigErrors};
use crate::config::key::{Key, Shape};
use crate::config::layers::{Layers, as_toml};
use crate::config::log::LogConfig;
use crate::config::postgres::PostgresConfig;
use crate::config::source::{FileChoice, Origin, Sources};
use crate::config::tools::ToolsConfig;
use crate::config::tpm::TpmConfig;
use crate::config::watch::WatchConfig;
use crate::config::web::WebConfig;
use crate::ids::NodeId;
use crate::toolkit::cx::Roots;

pub mod agents;
pub mod compute;
pub mod data;
pub mod data_dir;
pub mod drills;
pub mod engine;
pub mod fault;
pub mod key;
pub mod layers;
pub mod log;
pub mod node;
pub mod postgres;
pub mod roots;
pub mod source;
pub mod tools;
pub mod tpm;
pub mod watch;
pub mod web;

/// What the service was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub node: NodeId,
    pub web: WebConfig,
    pub postgres: PostgresConfig,
    pub tpm: TpmConfig,
    pub roots: Roots,
    pub agents: AgentsConfig,
    pub engine: EngineConfig,
    pub log: LogConfig,
    pub watch: WatchConfig,
    pub compute: ComputeConfig,
    pub drills: DrillsConfig,
    pub tools: ToolsConfig,
}

/// A configuration and who set what in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub config: Config,
    pub origins: Vec<Setting>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

/// One line of `dsmil config show --origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    /// As it would stand in the file; secrets are hidden.
    pub value: String,
    pub origin: Origin,
}

/// Every setting, in the order of `config/default.toml`.
pub fn keys() -> Vec<Key> {
    [
        data::KEYS,
        node::KEYS,
        web::KEYS,
        postgres::KEYS,
        tpm::KEYS,
        agents::KEYS,
        engine::KEYS,
        watch::KEYS,
        compute::KEYS,
        log::KEYS,
        roots::KEYS,
        tools::KEYS,
        drills::KEYS,
    ]
    .concat()
}

impl Config {
    /// Reads all sources. Faults of all of them come back together.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        let mut layers = Layers::new(keys(), sources.place.clone());
        let mut file = None;
        match read_file(&sources.file) {
            Ok(Some((path, text))) => {
                layers.lay_file(&path, &text);
                file = Some(path);
            }
            Ok(None) => {}
            Err(fault) => layers.fault(fault),
        }
        layers.lay_env(&sources.env);
        layers.lay_flags(&sources.flags);
        let config = Config::read(&mut layers);
        let origins = layers
            .settings()
            .into_iter()
            .map(|(key, text, origin)| {
                let shape = if key.secret { Shape::Text } else { key.shape };
                Setting { key: key.name, value: as_toml(shape, &text), origin }
            })
            .collect();
        let faults = layers.into_faults();
        match config {
            Some(config) if faults.is_empty() => Ok(Loaded { config, origins, file }),
            _ => Err(ConfigErrors(faults)),
        }
    }

    fn read(layers: &mut Layers) -> Option<Config> {
        // All sections first, so that the faults of each are found.
        let data_dir = data::read(layers);
        let node = node::read(layers);
        let web = WebConfig::read(layers);
        let postgres = PostgresConfig::read(layers);
        let tpm = TpmConfig::read(layers);
        let roots = roots::read(layers);
        let agents = AgentsConfig::read(layers);
        let engine = EngineConfig::read(layers);
        let watch = WatchConfig::read(layers);
        let compute = ComputeConfig::read(layers);
        let log = LogConfig::read(layers);
        let tools = ToolsConfig::read(layers);
        let drills = DrillsConfig::read(layers);
        Some(Config {
            data_dir: data_dir?,
            node: node?,
            web: web?,
            postgres: postgres?,
            tpm: tpm?,
            roots: roots?,
            agents: agents?,
            engine: engine?,
            watch: watch?,
            compute: compute?,
            log: log?,
            drills: drills?,
            tools: tools?,
        })
    }
}

fn read_file(choice: &FileChoice) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let (path, must_exist) = match choice {
        FileChoice::Named(path) => (path, true),
        FileChoice::IfPresent(path) => (path, false),
        FileChoice::None => return Ok(None),
    };
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.clone(), text))),
        Err(source) if source.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(source) => Err(ConfigError::Unreadable { path: path.clone(), source }),
    }
}
