//! The learner's part of the database as an actor, with connections of its own: lessons wait for nobody's commits.
use actix::{Actor, Handler, ResponseFuture};

use crate::actors::context::Ctx;
use crate::ids::NodeId;
use crate::learning::rank::Neighbour;
use crate::messages::learner::FindNear;
use crate::messages::learner::LoadSamples;
use crate::messages::learner::StoreLessons;
use crate::store::database::Readers;
use crate::store::metrics;
use crate::store::neighbours;
use crate::toolkit::learned::Sample;
use crate::workflow::record::StoreError;

pub struct LearningStore {
    pool: Readers,
    node: NodeId,
}

impl LearningStore {
    pub fn new(pool: Readers, node: NodeId) -> Self {
        LearningStore { pool, node }
    }
}

impl Actor for LearningStore {
    type Context = Ctx<Self>;
}

impl Handler<StoreLessons> for LearningStore {
    type Result = ResponseFuture<Result<u64, StoreError>>;

    fn handle(&mut self, StoreLessons(batch): StoreLessons, _: &mut Ctx<Self>) -> Self::Result {
        let (pool, node) = (self.pool.clone(), self.node.clone());
        Box::pin(async move { metrics::add(&pool, &node, &batch).await })
    }
}

impl Handler<FindNear> for LearningStore {
    type Result = ResponseFuture<Result<Vec<Neighbour>, StoreError>>;

    fn handle(&mut self, FindNear { task, since, now }: FindNear, _: &mut Ctx<Self>) -> Self::Result {
        let pool = self.pool.clone();
        Box::pin(async move { neighbours::nearest(&pool, &task, since, now).await })
    }
}

impl Handler<LoadSamples> for LearningStore {
    type Result = ResponseFuture<Result<Vec<Sample>, StoreError>>;

    fn handle(&mut self, LoadSamples { agent, tool, metric }: LoadSamples, _: &mut Ctx<Self>) -> Self::Result {
        let pool = self.pool.clone();
        Box::pin(async move { neighbours::samples(&pool, agent.as_ref(), tool.as_ref(), metric).await })
    }
}
