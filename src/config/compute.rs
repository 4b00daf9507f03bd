//! `[compute]`: the worker pool.
use std::thread::available_parallelism;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] =
    &[Key::new("compute.workers", Shape::Whole, "0"), Key::new("compute.queue", Shape::Whole, "1024")];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputeConfig {
    /// Threads that compute.
    pub workers: usize,
    /// Jobs that may wait or be worked on.
    pub queue: usize,
}

impl ComputeConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let workers = layers.whole("compute.workers", 0, 256);
        let queue = layers.whole("compute.queue", 1, 65_536);
        Some(ComputeConfig {
            workers: match usize::try_from(workers?).ok()? {
                // One core is left to the service and to the rest of the host.
                0 => available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
                workers => workers,
            },
            queue: usize::try_from(queue?).ok()?,
        })
    }
}
