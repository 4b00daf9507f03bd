//! Takes jobs of many callers in, and hands them to idle workers in batches.
//!
//! ```text
//! Compute -> queue (bounded by count and by bytes) -> batch of waiting jobs -> an idle worker -> digests to each caller
//!                ^ a worker that ends during a batch: its jobs come back, to the front
//! ```
//! A job waits only while all workers are at work; what has gathered by then goes together. The work is a function of
//! the data alone, so doing it again after a crash is harmless.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Handler, MessageResult, ResponseFuture};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::actors::context::Ctx;
use crate::compute::digests::Job;
use crate::ids::Digest;
use crate::messages::compute::{Compute, ComputeError, GetPoolStatus, PoolStatus, Work};
use crate::messages::port::{AskError, Port};

/// A batch takes no more jobs once it has so many bytes: a millisecond of work.
const BATCH: usize = 1 << 20;
/// Bytes that may wait, so that a flood of large jobs does not take the memory of the host.
const MOST_BYTES: usize = 64 << 20;
/// A job whose workers ended so often may be what ends them.
const TRIES: u8 = 3;
/// Before a worker that is not there is asked again: at least, and at most, whatever it said itself.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(60);

struct Waiting {
    job: Arc<Job>,
    bytes: usize,
    tries: u8,
    reply: oneshot::Sender<Result<Vec<Digest>, ComputeError>>,
}

pub struct Pool {
    workers: Vec<Port<Work>>,
    /// Workers without a batch, by their place.
    idle: Vec<usize>,
    queue: VecDeque<Waiting>,
    bytes: usize,
    count: PoolStatus,
}

impl Pool {
    pub fn new(workers: Vec<Port<Work>>) -> Self {
        let idle = (0..workers.len()).rev().collect();
        Pool { workers, idle, queue: VecDeque::new(), bytes: 0, count: PoolStatus::default() }
    }

    fn hand_out(&mut self, ctx: &mut Ctx<Self>) {
        while !self.queue.is_empty() {
            let Some(place) = self.idle.pop() else { return };
            let batch = self.batch();
            let jobs = batch.iter().map(|waiting| Arc::clone(&waiting.job)).collect();
            let worker = self.workers[place].clone();
            let working = async move { worker.ask_within(Work(jobs), WITHIN).await };
            ctx.spawn(working.into_actor(self).map(move |done, pool, ctx| pool.done(place, batch, done, ctx)));
        }
    }

    fn batch(&mut self) -> Vec<Waiting> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH
            && let Some(waiting) = self.queue.pop_front()
        {
            bytes += waiting.bytes;
            self.bytes -= waiting.bytes;
            batch.push(waiting);
        }
        batch
    }

    fn done(
        &mut self,
        place: usize,
        batch: Vec<Waiting>,
        done: Result<Vec<Vec<Digest>>, AskError>,
        ctx: &mut Ctx<Self>,
    ) {
        match done {
            Ok(digests) => {
                self.count.batches += 1;
                self.idle.push(place);
                for (waiting, digests) in batch.into_iter().zip(digests) {
                    self.count.jobs += 1;
                    self.count.messages += digests.len() as u64;
                    self.count.bytes += waiting.bytes as u64;
                    // Who asked may have gone.
                    drop(waiting.reply.send(Ok(digests)));
                }
            }
            Err(fault) => {
                let untouched = fault.certainly_not_executed();
                if untouched {
                    // Its supervisor has said so, and starts it again.
                    debug!(worker = place, "worker {place} is not there: {fault}");
                } else {
                    warn!(worker = place, jobs = batch.len(), "worker {place} did not do its batch: {fault}");
                    self.count.batches += 1;
                }
                self.put_back(batch, untouched);
                ctx.run_later(pause_after(&fault), move |pool, ctx| {
                    pool.idle.push(place);
                    pool.hand_out(ctx);
                });
            }
        }
        self.hand_out(ctx);
    }

    fn put_back(&mut self, batch: Vec<Waiting>, untouched: bool) {
        for mut waiting in batch.into_iter().rev() {
            waiting.tries += u8::from(!untouched);
            if waiting.tries >= TRIES {
                drop(waiting.reply.send(Err(ComputeError::Lost)));
                continue;
            }
            self.count.again += u64::from(!untouched);
            self.bytes += waiting.bytes;
            self.queue.push_front(waiting);
        }
    }
}

fn pause_after(fault: &AskError) -> Duration {
    match fault {
        AskError::Unavailable { retry_after, .. } => (*retry_after).clamp(LOOK_AGAIN, LONGEST_PAUSE),
        AskError::Overloaded | AskError::Timeout | AskError::Lost => LOOK_AGAIN,
    }
}

impl Actor for Pool {
    type Context = Ctx<Self>;
}

impl Handler<Compute> for Pool {
    type Result = ResponseFuture<Result<Vec<Digest>, ComputeError>>;

    fn handle(&mut self, Compute(job): Compute, ctx: &mut Ctx<Self>) -> Self::Result {
        let bytes = job.bytes();
        if self.bytes + bytes > MOST_BYTES && !self.queue.is_empty() {
            return Box::pin(std::future::ready(Err(ComputeError::Full)));
        }
        let (reply, answer) = oneshot::channel();
        self.bytes += bytes;
        self.queue.push_back(Waiting { job, bytes, tries: 0, reply });
        self.hand_out(ctx);
        Box::pin(async move { answer.await.unwrap_or(Err(ComputeError::Lost)) })
    }
}

impl Handler<GetPoolStatus> for Pool {
    type Result = MessageResult<GetPoolStatus>;

    fn handle(&mut self, GetPoolStatus: GetPoolStatus, _: &mut Ctx<Self>) -> Self::Result {
        MessageResult(PoolStatus {
            workers: self.workers.len(),
            at_work: self.workers.len() - self.idle.len(),
            waiting_jobs: self.queue.len(),
            waiting_bytes: self.bytes,
            ..self.count
        })
    }
}
