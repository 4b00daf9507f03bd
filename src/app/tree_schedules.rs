//! The scheduler and its part of the database, as children of the engine: runs and orchestrator come before them.
use std::sync::Arc;

use crate::actors::child::{ChildOptions, ChildSpec};
use crate::actors::home::{Home, HomeError};
use crate::actors::orchestrator::Orchestrator;
use crate::actors::schedule_keeper::WorkDoors;
use crate::actors::schedule_store::ScheduleStore;
use crate::actors::scheduler::{Scheduler, SchedulerDoors};
use crate::actors::scribe::Scribe;
use crate::actors::slot::Ref;
use crate::app::parts::Parts;
use crate::app::tree::{Data, options, outside};
use crate::clock;
use crate::resilience::admission::Priority;
use crate::store::database::Readers;

pub struct Schedules {
    pub specs: [ChildSpec; 2],
    pub store: Ref<ScheduleStore>,
    pub scheduler: Ref<Scheduler>,
}

pub fn schedules(
    parts: &Parts,
    data: &Data,
    readers: &Readers,
    orchestrator: &Ref<Orchestrator>,
    scribe: &Scribe,
) -> Result<Schedules, HomeError> {
    let home = Home::start("scheduler")?;
    let (database, of_store) = (readers.clone(), scribe.clone());
    let rules = ChildOptions { cap: 2048, breaker: outside(), ..options(&home) };
    let make = move || ScheduleStore::new(database.clone(), of_store.clone());
    let (store_spec, store) = ChildSpec::worker("schedule-store", rules, make);
    let work = WorkDoors {
        record: store.port(),
        settle: store.port(),
        pause: store.port(),
        start: orchestrator.port(),
        steer: orchestrator.port_for(Priority::System),
        watch: orchestrator.port(),
        load_run: data.reader.port(),
        world: Arc::clone(&parts.world),
        wall: Arc::new(clock::wall),
    };
    let doors =
        SchedulerDoors { load: store.port(), insert: store.port(), drop: store.port(), work, scribe: scribe.clone() };
    // It answers when the database has confirmed, and some of it waits for a run to be accepted.
    let rules = ChildOptions { cap: 256, breaker: None, ..options(&home) };
    let (spec, scheduler) = ChildSpec::worker("scheduler", rules, move || Scheduler::new(doors.clone()));
    Ok(Schedules { specs: [store_spec, spec], store, scheduler })
}
