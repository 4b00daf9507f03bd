//! `[drills]`: faults on purpose, for exercises and tests.
use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] = &[Key::new("drills.enabled", Shape::Switch, "false")];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillsConfig {
    pub enabled: bool,
}

impl DrillsConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let enabled = layers.switch("drills.enabled");
        Some(DrillsConfig { enabled: enabled? })
    }
}
