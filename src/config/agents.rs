//! `[agents]`: the profiles and playbooks to use instead of the built-in ones.
use std::path::PathBuf;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] = &[Key::new("agents.dir", Shape::Path, ""), Key::new("agents.playbooks_dir", Shape::Path, "")];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentsConfig {
    /// None: the profiles that are part of the program.
    pub dir: Option<PathBuf>,
    /// None: the playbooks that are part of the program.
    pub playbooks_dir: Option<PathBuf>,
}

impl AgentsConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let dir = layers.path_or_none("agents.dir");
        let playbooks_dir = layers.path_or_none("agents.playbooks_dir");
        Some(AgentsConfig { dir: dir?, playbooks_dir: playbooks_dir? })
    }
}
