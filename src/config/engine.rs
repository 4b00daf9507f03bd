//! `[engine]`: the limits of workflows.
use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] = &[
    Key::new("engine.max_open_runs", Shape::Whole, "10000"),
    Key::new("engine.max_steps", Shape::Whole, "1000"),
    Key::new("engine.max_value_bytes", Shape::Size, "4 MiB"),
    Key::new("engine.tool_threads", Shape::Whole, "16"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Runs that are accepted and not finished; more are refused until some end.
    pub max_open_runs: usize,
    pub max_steps: usize,
    /// Of one input or output.
    pub max_value_bytes: usize,
    /// Tools that work at the same time.
    pub tool_threads: usize,
}

impl EngineConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let max_open_runs = whole(layers, "engine.max_open_runs", 1, 1_000_000);
        let max_steps = whole(layers, "engine.max_steps", 1, 100_000);
        let bytes = layers.size("engine.max_value_bytes", 1024, 64 << 20).and_then(|n| usize::try_from(n).ok());
        let tool_threads = whole(layers, "engine.tool_threads", 1, 512);
        Some(EngineConfig {
            max_open_runs: max_open_runs?,
            max_steps: max_steps?,
            max_value_bytes: bytes?,
            tool_threads: tool_threads?,
        })
    }
}

fn whole(layers: &mut Layers, key: &str, least: u64, most: u64) -> Option<usize> {
    layers.whole(key, least, most).and_then(|n| usize::try_from(n).ok())
}
