//! What can be asked of the worker pool.
use std::sync::Arc;
use std::time::Duration;

use actix::Message;

use crate::compute::digests::Job;
use crate::ids::Digest;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    #[error("more data waits for the worker pool than it may hold")]
    Full,
    #[error("the workers that took this on ended before it was done")]
    Lost,
}

/// Who asks can hash on a thread of its own, and does so when the pool takes longer than this.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The digest of each message, in order.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Digest>, ComputeError>")]
pub struct Compute(pub Arc<Job>);

/// One batch for one worker: the digests of each job.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Vec<Vec<Digest>>")]
pub struct Work(pub Vec<Arc<Job>>);

#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "PoolStatus")]
pub struct GetPoolStatus;

/// How the pool is doing; counts are since it was last started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStatus {
    pub workers: usize,
    pub at_work: usize,
    pub waiting_jobs: usize,
    pub waiting_bytes: usize,
    pub jobs: u64,
    pub batches: u64,
    pub messages: u64,
    pub bytes: u64,
    /// Jobs that were done again because their worker had ended.
    pub again: u64,
}
