//! One worker of the pool. It keeps its thread busy for as long as a batch takes; nobody else lives there.
use actix::{Actor, Handler};

use crate::actors::context::Ctx;
use crate::ids::Digest;
use crate::messages::compute::Work;

#[derive(Debug, Default)]
pub struct Worker;

impl Actor for Worker {
    type Context = Ctx<Self>;
}

impl Handler<Work> for Worker {
    type Result = Vec<Vec<Digest>>;

    fn handle(&mut self, Work(jobs): Work, _: &mut Ctx<Self>) -> Self::Result {
        jobs.iter().map(|job| job.digests()).collect()
    }
}
