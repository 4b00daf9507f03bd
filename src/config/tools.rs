//! `[tools]`: what tools that change the host may touch.
use std::path::PathBuf;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] = &[Key::new("tools.fs_write_root", Shape::Path, "")];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolsConfig {
    /// None: `scratch` in the data directory.
    pub fs_write_root: Option<PathBuf>,
}

impl ToolsConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        Some(ToolsConfig { fs_write_root: layers.path_or_none("tools.fs_write_root")? })
    }
}
