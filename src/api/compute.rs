//! The worker pool, and what the processor can do.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compute::cpu::Kernel;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WorkerPool")]
pub struct Pool {
    pub workers: usize,
    /// Workers with a batch.
    pub at_work: usize,
    pub waiting_jobs: usize,
    pub waiting_bytes: usize,
    /// Done since the pool was last started.
    pub jobs: u64,
    pub batches: u64,
    pub messages: u64,
    pub bytes: u64,
    /// Jobs that were done again because their worker had ended.
    pub again: u64,
    pub cpu: Cpu,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cpu {
    /// By the x86-64 psABI: `x86-64`, `x86-64-v2` to `x86-64-v4`; elsewhere the architecture.
    pub level: String,
    /// Instruction sets that may be used, by the kernel's names of their flags.
    pub features: Vec<String>,
    pub missing: Vec<String>,
    /// The code that is used for each operation.
    pub kernels: Vec<Kernel>,
}
