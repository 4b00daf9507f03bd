//! What can be asked of the schedules in the database. All of it may be asked again: a repeat changes nothing.
use actix::Message;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::ScheduleName;
use crate::schedules::record::{Firing, Kept, Schedule};
use crate::workflow::record::StoreError;

/// All schedules of this node, by name.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<Kept>, StoreError>")]
pub struct LoadSchedules;

/// False: another schedule has its name.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<bool, StoreError>")]
pub struct InsertSchedule(pub Schedule);

#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct StorePause {
    pub id: Uuid,
    pub paused: bool,
    pub next_due: Option<DateTime<Utc>>,
}

/// With its firings; its runs stay.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct DropSchedule {
    pub id: Uuid,
    pub name: ScheduleName,
}

/// Stores firings and the time up to which all that was due has one. Answers which of them are to be carried out: not
/// those that had been settled before, when the clock was ahead.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Vec<DateTime<Utc>>, StoreError>")]
pub struct RecordFirings {
    pub id: Uuid,
    pub firings: Vec<Firing>,
    pub next_due: Option<DateTime<Utc>>,
}

/// How a firing came out. The idempotency key of its run is free from then on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct SettleFiring {
    pub id: Uuid,
    pub name: ScheduleName,
    pub firing: Firing,
}

/// The newest firings of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "Result<Vec<Firing>, StoreError>")]
pub struct ListFirings {
    pub id: Uuid,
    pub limit: u32,
}
