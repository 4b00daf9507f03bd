//! The schedules' part of the database as an actor.
use std::future::Future;
use std::pin::Pin;

use actix::{Actor, Handler, Message, ResponseFuture};
use chrono::{DateTime, Utc};

use crate::actors::context::Ctx;
use crate::actors::scribe::Scribe;
use crate::messages::schedule_store::{
    DropSchedule, InsertSchedule, ListFirings, LoadSchedules, RecordFirings, SettleFiring, StorePause,
};
use crate::schedules::record::{Firing, Kept};
use crate::store::database::Readers;
use crate::store::schedules::{self, Hand};
use crate::workflow::record::StoreError;

pub struct ScheduleStore {
    database: Readers,
    /// Knows the epoch of this start.
    scribe: Scribe,
}

impl ScheduleStore {
    pub fn new(database: Readers, scribe: Scribe) -> Self {
        ScheduleStore { database, scribe }
    }

    fn write<T, F>(&self, write: impl FnOnce(Hand) -> F + 'static) -> Pin<Box<dyn Future<Output = T>>>
    where
        F: Future<Output = T>,
    {
        let (database, scribe) = (self.database.clone(), self.scribe.clone());
        Box::pin(async move {
            let epoch = scribe.epoch().await;
            write(Hand { database, node: scribe.node, epoch }).await
        })
    }
}

/// What a message is answered with.
type Answer<M> = ResponseFuture<<M as Message>::Result>;

impl Actor for ScheduleStore {
    type Context = Ctx<Self>;
}

impl Handler<LoadSchedules> for ScheduleStore {
    type Result = ResponseFuture<Result<Vec<Kept>, StoreError>>;

    fn handle(&mut self, LoadSchedules: LoadSchedules, _: &mut Ctx<Self>) -> Self::Result {
        let (database, node) = (self.database.clone(), self.scribe.node.clone());
        Box::pin(async move { schedules::load(&database, &node).await })
    }
}

impl Handler<InsertSchedule> for ScheduleStore {
    type Result = Answer<InsertSchedule>;

    fn handle(&mut self, InsertSchedule(schedule): InsertSchedule, _: &mut Ctx<Self>) -> Self::Result {
        self.write(|hand| async move { hand.insert(&schedule).await })
    }
}

impl Handler<StorePause> for ScheduleStore {
    type Result = Answer<StorePause>;

    fn handle(&mut self, StorePause { id, paused, next_due }: StorePause, _: &mut Ctx<Self>) -> Self::Result {
        self.write(move |hand| async move { hand.pause(id, paused, next_due).await })
    }
}

impl Handler<DropSchedule> for ScheduleStore {
    type Result = Answer<DropSchedule>;

    fn handle(&mut self, DropSchedule { id, name }: DropSchedule, _: &mut Ctx<Self>) -> Self::Result {
        self.write(move |hand| async move { hand.delete(id, &name).await })
    }
}

impl Handler<RecordFirings> for ScheduleStore {
    type Result = ResponseFuture<Result<Vec<DateTime<Utc>>, StoreError>>;

    fn handle(&mut self, asked: RecordFirings, _: &mut Ctx<Self>) -> Self::Result {
        self.write(move |hand| async move { hand.record(asked.id, &asked.firings, asked.next_due).await })
    }
}

impl Handler<SettleFiring> for ScheduleStore {
    type Result = Answer<SettleFiring>;

    fn handle(&mut self, SettleFiring { id, name, firing }: SettleFiring, _: &mut Ctx<Self>) -> Self::Result {
        self.write(move |hand| async move { hand.settle(id, &name, &firing).await })
    }
}

impl Handler<ListFirings> for ScheduleStore {
    type Result = ResponseFuture<Result<Vec<Firing>, StoreError>>;

    fn handle(&mut self, ListFirings { id, limit }: ListFirings, _: &mut Ctx<Self>) -> Self::Result {
        let (database, node) = (self.database.clone(), self.scribe.node.clone());
        Box::pin(async move { schedules::firings(&database, &node, id, limit).await })
    }
}
