//! Where settings come from: the built-in defaults, one file, the environment, the command line.
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use nix::unistd::{geteuid, gethostname};

use crate::config::key::Key;

/// The file that is read when none is named.
pub const SYSTEM_FILE: &str = "/etc/dsmil/dsmil.toml";

/// Everything `Config::load` looks at; nothing else of the process is read.
#[derive(Debug, Clone)]
pub struct Sources {
    pub file: FileChoice,
    pub env: BTreeMap<String, String>,
    pub flags: Vec<Flag>,
    pub place: Place,
}

/// Which file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChoice {
    /// `--config`: must exist.
    Named(PathBuf),
    /// The system's file: read if it is there.
    IfPresent(PathBuf),
    None,
}

/// A setting given on the command line, such as `--listen` for `web.listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    pub key: &'static str,
    pub flag: &'static str,
    pub value: String,
}

/// What the defaults depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub root: bool,
    pub home: PathBuf,
    pub state_home: PathBuf,
    pub data_home: PathBuf,
    /// Relative paths in flags and environment are taken from here.
    pub cwd: PathBuf,
    pub hostname: String,
}

/// Who set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Env(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Env(name) => write!(f, "env {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

impl Sources {
    /// What this very process was started with.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Sources {
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let file = file.map_or_else(|| FileChoice::IfPresent(PathBuf::from(SYSTEM_FILE)), FileChoice::Named);
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let hostname = gethostname().ok().and_then(|n| n.into_string().ok()).unwrap_or_default();
        let place = Place::new(geteuid().is_root(), &env, cwd, hostname);
        Sources { file, env, flags, place }
    }
}

impl Place {
    pub fn new(root: bool, env: &BTreeMap<String, String>, cwd: PathBuf, hostname: String) -> Place {
        // The XDG rules: a relative path counts as unset.
        let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let home = absolute("HOME").unwrap_or_else(|| PathBuf::from("/"));
        let state_home = absolute("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        let data_home = absolute("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
        Place { root, home, state_home, data_home, cwd, hostname }
    }

    /// A path as given on the command line, made absolute.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }
}

/// The environment variable that sets this key.
pub fn env_name(key: &Key) -> String {
    match key.env {
        Some(name) => name.to_owned(),
        None => format!("DSMIL_{}", key.name.replace('.', "_").to_uppercase()),
    }
}
