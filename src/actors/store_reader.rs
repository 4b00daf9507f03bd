//! The store's readers as an actor: each request takes a connection of the pool; none waits for another.
use actix::{Actor, Handler, ResponseFuture};

use crate::actors::context::Ctx;
use crate::ids::{NodeId, RunId};
use crate::messages::store::CountEntries;
use crate::messages::store::GetStoreStatus;
use crate::messages::store::ListRuns;
use crate::messages::store::LoadEntries;
use crate::messages::store::LoadLastAttempt;
use crate::messages::store::LoadOpenRuns;
use crate::messages::store::LoadRun;
use crate::messages::store::LoadUnlearnedRuns;
use crate::store::audit_entries;
use crate::store::database::Readers;
use crate::store::journal;
use crate::store::run_list;
use crate::store::runs;
use crate::store::status;
use crate::workflow::record::JournalRow;
use crate::workflow::record::RunPage;
use crate::workflow::record::StoreError;
use crate::workflow::record::StoreStatus;
use crate::workflow::record::StoredEntry;
use crate::workflow::record::StoredRun;

pub struct StoreReader {
    readers: Readers,
    node: NodeId,
}

impl StoreReader {
    pub fn new(readers: Readers, node: NodeId) -> Self {
        StoreReader { readers, node }
    }
}

impl Actor for StoreReader {
    type Context = Ctx<Self>;
}

type Answer<T> = ResponseFuture<Result<T, StoreError>>;

impl Handler<LoadOpenRuns> for StoreReader {
    type Result = Answer<Vec<runs::Loaded>>;

    fn handle(&mut self, LoadOpenRuns: LoadOpenRuns, _: &mut Ctx<Self>) -> Self::Result {
        let (readers, node) = (self.readers.clone(), self.node.clone());
        Box::pin(async move { runs::load_open(&readers, &node).await })
    }
}

impl Handler<LoadUnlearnedRuns> for StoreReader {
    type Result = Answer<Vec<runs::Loaded>>;

    fn handle(&mut self, LoadUnlearnedRuns: LoadUnlearnedRuns, _: &mut Ctx<Self>) -> Self::Result {
        let (readers, node) = (self.readers.clone(), self.node.clone());
        Box::pin(async move { runs::load_unlearned(&readers, &node).await })
    }
}

impl Handler<LoadRun> for StoreReader {
    type Result = Answer<Option<StoredRun>>;

    fn handle(&mut self, LoadRun(run): LoadRun, _: &mut Ctx<Self>) -> Self::Result {
        let readers = self.readers.clone();
        Box::pin(async move { runs::load(&readers, run).await })
    }
}

impl Handler<ListRuns> for StoreReader {
    type Result = Answer<RunPage>;

    fn handle(&mut self, ListRuns(filter): ListRuns, _: &mut Ctx<Self>) -> Self::Result {
        let readers = self.readers.clone();
        Box::pin(async move { run_list::page(&readers, &filter).await })
    }
}

impl Handler<LoadLastAttempt> for StoreReader {
    type Result = Answer<Option<(RunId, JournalRow)>>;

    fn handle(&mut self, load: LoadLastAttempt, _: &mut Ctx<Self>) -> Self::Result {
        let (readers, node) = (self.readers.clone(), self.node.clone());
        let LoadLastAttempt { agent, tool, except } = load;
        Box::pin(async move { journal::last_attempt(&readers, &node, &agent, &tool, except).await })
    }
}

impl Handler<LoadEntries> for StoreReader {
    type Result = Answer<Vec<StoredEntry>>;

    fn handle(&mut self, LoadEntries { from, to }: LoadEntries, _: &mut Ctx<Self>) -> Self::Result {
        let (readers, node) = (self.readers.clone(), self.node.clone());
        Box::pin(async move { audit_entries::load(&readers, &node, from, to).await })
    }
}

impl Handler<CountEntries> for StoreReader {
    type Result = Answer<u64>;

    fn handle(&mut self, CountEntries: CountEntries, _: &mut Ctx<Self>) -> Self::Result {
        let (readers, node) = (self.readers.clone(), self.node.clone());
        Box::pin(async move { audit_entries::count(&readers, &node).await })
    }
}

impl Handler<GetStoreStatus> for StoreReader {
    type Result = Answer<StoreStatus>;

    fn handle(&mut self, GetStoreStatus: GetStoreStatus, _: &mut Ctx<Self>) -> Self::Result {
        let readers = self.readers.clone();
        Box::pin(async move { status::load(&readers).await })
    }
}
