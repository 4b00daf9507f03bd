//! What an operator edits, as shipped in the binary or read from the folders that the configuration names.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::agents::catalog::Catalog;
use crate::alerts::rule;
use crate::alerts::rule::Rule;
use crate::config::agents::AgentsConfig;
use crate::config::watch::WatchConfig;
use crate::tools::toolbox::Toolbox;
use crate::workflow::check::check;
use crate::workflow::fault::Limits;
use crate::workflow::world::World;
use crate::workflow::yaml::from_yaml;

static AGENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/config/agents");
const ALERTS: &str = include_str!("../../config/alerts.toml");
static PLAYBOOKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/config/playbooks");

/// A folder of agents or playbooks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShippedError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} faults in the agents' files:\n{1}")]
    Agents(usize, String),
    #[error("faults in the alert rules of {}:\n{faults}", file.display())]
    Alerts { file: PathBuf, faults: String },
    #[error("playbook {file}: {detail}")]
    Playbook { file: String, detail: String },
}

/// The agents, cross-checked with the tools.
pub fn catalog(config: &AgentsConfig, toolbox: &Toolbox) -> Result<Catalog, ShippedError> {
    let files = files(&AGENTS, config.dir.as_deref(), "md")?;
    let known = toolbox.specs().map(|spec| spec.id.clone()).collect();
    Catalog::from_files(files.into_iter(), &known).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(|fault| format!("  {fault}")).collect();
        ShippedError::Agents(faults.len(), lines.join("\n"))
    })
}

/// What workflows are checked against, the playbooks included, each of which must be a plan that could be run as it is.
pub fn world(
    config: &AgentsConfig,
    catalog: &Catalog,
    toolbox: &Toolbox,
    limits: Limits,
) -> Result<World, ShippedError> {
    let mut playbooks = BTreeMap::new();
    for (file, text) in files(&PLAYBOOKS, config.playbooks_dir.as_deref(), "yaml")? {
        let fault = |detail: String| ShippedError::Playbook { file: file.clone(), detail };
        let document = from_yaml(&text).map_err(|found| fault(found.to_string()))?;
        let stem = file.trim_end_matches(".yaml").to_owned();
        if document["name"].as_str() != Some(&stem) {
            return Err(fault(format!("its name is {}; it must be `{stem}` as the file's", document["name"])));
        }
        playbooks.insert(stem, document);
    }
    let world = World::new(catalog, toolbox.specs(), playbooks, limits);
    for (name, document) in &world.playbooks {
        check(document, &world).map_err(|faults| {
            let lines: Vec<_> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            ShippedError::Playbook { file: format!("{name}.yaml"), detail: lines.concat() }
        })?;
    }
    Ok(world)
}

/// The rules of alerts.
pub fn alerts(config: &WatchConfig) -> Result<Vec<Rule>, ShippedError> {
    let text = match &config.alerts_file {
        None => ALERTS.to_owned(),
        Some(path) => fs::read_to_string(path).map_err(|source| ShippedError::Read { path: path.clone(), source })?,
    };
    let file = config.alerts_file.as_deref().unwrap_or(Path::new("alerts.toml")).to_owned();
    rule::parse(&text).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(|fault| format!("  {fault}")).collect();
        ShippedError::Alerts { file, faults: lines.join("\n") }
    })
}

/// Name and text of each file with this ending, sorted by name.
fn files(shipped: &Dir<'_>, dir: Option<&Path>, ending: &str) -> Result<Vec<(String, String)>, ShippedError> {
    let Some(dir) = dir else {
        let text =
            |file: &include_dir::File<'_>| Some((file.path().to_str()?.to_owned(), file.contents_utf8()?.to_owned()));
        return Ok(shipped.files().filter(|file| has(file.path(), ending)).filter_map(text).collect());
    };
    let failed = |path: &Path, source| ShippedError::Read { path: path.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|source| failed(dir, source))? {
        let path = entry.map_err(|source| failed(dir, source))?.path();
        if has(&path, ending) {
            let text = fs::read_to_string(&path).map_err(|source| failed(&path, source))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            found.push((name, text));
        }
    }
    found.sort();
    Ok(found)
}

fn has(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}
