//! Tells which run an idempotency key has started. It reads; what starts runs is the orchestrator.
use std::time::Duration;

use actix::{Actor, Handler, ResponseFuture};

use crate::actors::context::Ctx;
use crate::ids::NodeId;
use crate::messages::store::FindSubmission;
use crate::store::database::Readers;
use crate::store::submissions;
use crate::workflow::record::{KnownSubmission, StoreError};

pub struct Submissions {
    readers: Readers,
    node: NodeId,
    /// How long keys are kept.
    keys_for: Duration,
}

impl Submissions {
    pub fn new(readers: Readers, node: NodeId, keys_for: Duration) -> Self {
        Submissions { readers, node, keys_for }
    }
}

impl Actor for Submissions {
    type Context = Ctx<Self>;
}

impl Handler<FindSubmission> for Submissions {
    type Result = ResponseFuture<Result<Option<KnownSubmission>, StoreError>>;

    fn handle(&mut self, FindSubmission { principal, key }: FindSubmission, _: &mut Ctx<Self>) -> Self::Result {
        let (readers, node, keys_for) = (self.readers.clone(), self.node.clone(), self.keys_for);
        Box::pin(async move { submissions::find(&readers, &node, &principal, &key, keys_for).await })
    }
}
