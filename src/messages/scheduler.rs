//! What can be asked of the scheduler, which starts runs when they are due.
use actix::Message;

use crate::ids::{RunId, ScheduleName};
use crate::schedules::record::{Firing, NewSchedule, Schedule};
use crate::workflow::record::StoreError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("the schedules have not been read yet")]
    NotRead,
    #[error("there is no schedule `{0}`")]
    NoSuch(String),
    #[error("there is a schedule `{0}` already; delete it first, or take another name")]
    NameTaken(ScheduleName),
    #[error("there are {0} schedules, which is as many as may be")]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Of an order to run: it may be carried out yet.
    #[error("it could not be made durable: {detail}; the outcome is unknown")]
    NotDurable { detail: String },
}

/// A schedule and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub schedule: Schedule,
    /// Firings that are to be carried out yet.
    pub waiting: usize,
    /// Its runs that have not ended; not followed where they may overlap.
    pub open: Vec<RunId>,
    /// The newest firing that was dealt with.
    pub last: Option<Firing>,
    /// What keeps it from going on at present; it is tried again.
    pub trouble: Option<String>,
}

/// Answers once it is stored.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<View, ScheduleError>")]
pub struct CreateSchedule {
    pub new: NewSchedule,
    /// Who asks: `token:<id>`.
    pub by: String,
}

/// All of them, by name.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<View>, ScheduleError>")]
pub struct ListSchedules;

/// By its name or its id.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<View, ScheduleError>")]
pub struct GetSchedule(pub String);

/// Paused, it starts nothing until it is resumed; what was due meanwhile is not made up for.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<View, ScheduleError>")]
pub struct PauseSchedule {
    pub which: String,
    pub paused: bool,
    pub by: String,
}

/// Has it run now, also when it is paused; its rule of overlap holds. Answers how far that came: started, skipped,
/// failed, or due, if it has to wait.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(View, Firing), ScheduleError>")]
pub struct RunSchedule {
    pub which: String,
    pub by: String,
}

/// Runs that it has started go on. Answers what it was.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<View, ScheduleError>")]
pub struct DeleteSchedule {
    pub which: String,
    pub by: String,
}
