//! `[engine]`: the limits of workflows.
use std::time::Duration;

use crate::config::key::{Key, Shape};
use crate::config::layers::{Layers, items};
use crate::toolkit::duration;
use crate::workflow::retention::Retention;

pub const KEYS: &[Key] = &[
    Key::new("engine.max_open_runs", Shape::Whole, "10000"),
    Key::new("engine.max_steps", Shape::Whole, "1000"),
    Key::new("engine.max_value_bytes", Shape::Size, "4 MiB"),
    Key::new("engine.tool_threads", Shape::Whole, "16"),
    Key::new("engine.idempotency_keys_for", Shape::Text, "24h"),
    Key::new("engine.keep_runs", Shape::List, ""),
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
    /// How long it is known which run an idempotency key has started.
    pub idempotency_keys_for: Duration,
    /// How long runs that have ended are kept.
    pub keep_runs: Retention,
}

impl EngineConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let max_open_runs = whole(layers, "engine.max_open_runs", 1, 1_000_000);
        let max_steps = whole(layers, "engine.max_steps", 1, 100_000);
        let bytes = layers.size("engine.max_value_bytes", 1024, 64 << 20).and_then(|n| usize::try_from(n).ok());
        let tool_threads = whole(layers, "engine.tool_threads", 1, 512);
        let keys_for = layers.parse("engine.idempotency_keys_for", keys_for);
        let keep_runs = layers.parse("engine.keep_runs", |text| {
            items(text).map(str::parse).collect::<Result<_, String>>().and_then(Retention::of)
        });
        Some(EngineConfig {
            max_open_runs: max_open_runs?,
            max_steps: max_steps?,
            max_value_bytes: bytes?,
            tool_threads: tool_threads?,
            idempotency_keys_for: keys_for?,
            keep_runs: keep_runs?,
        })
    }
}

fn keys_for(text: &str) -> Result<Duration, String> {
    let kept = duration::parse(text).map_err(|cause| cause.to_string())?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);
    if bounds.contains(&kept) { Ok(kept) } else { Err("it may be 1s to 365d".to_owned()) }
}

fn whole(layers: &mut Layers, key: &str, least: u64, most: u64) -> Option<usize> {
    layers.whole(key, least, most).and_then(|n| usize::try_from(n).ok())
}
