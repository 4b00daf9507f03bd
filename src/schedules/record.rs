//! What is kept of schedules and their firings.
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::ids::{RunId, ScheduleName};
use crate::schedules::rules::Rules;
use crate::workflow::submission::{BadKey, IdempotencyKey};

/// A schedule as it is handed in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSchedule {
    pub name: ScheduleName,
    /// A document of any of the three forms; it was checked, and is again at each firing.
    pub workflow: Value,
    pub rules: Rules,
    pub paused: bool,
}

/// A schedule as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub id: Uuid,
    pub name: ScheduleName,
    pub workflow: Value,
    pub rules: Rules,
    pub paused: bool,
    pub created: DateTime<Utc>,
    pub created_by: String,
    /// All that was due before has a firing. None: it is never due again.
    pub next_due: Option<DateTime<Utc>>,
}

/// One time at which a schedule was due, or was told to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    pub due: DateTime<Utc>,
    /// What it started.
    pub run: Option<RunId>,
    /// Who had it run now; none: it was due.
    pub ordered_by: Option<String>,
    pub state: FiringState,
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FiringState {
    /// Recorded, and to be carried out.
    Due,
    /// Its run is durable.
    Started,
    /// Not carried out, since another run was open.
    Skipped,
    /// Nobody was there when it was due, and it is not made up for.
    Missed,
    /// Its workflow cannot be run.
    Failed,
}

/// A schedule and what an earlier life left undone of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub schedule: Schedule,
    /// Recorded and not carried out, oldest first.
    pub due: Vec<Firing>,
    /// Runs that have not ended.
    pub open: Vec<RunId>,
    /// The newest firing that was dealt with.
    pub last: Option<Firing>,
}

impl Schedule {
    /// On whose behalf its runs are started.
    pub fn principal(&self) -> String {
        principal(&self.name)
    }

    /// What keeps a firing from starting two runs, whatever dies when.
    pub fn key(&self, due: DateTime<Utc>) -> Result<IdempotencyKey, BadKey> {
        IdempotencyKey::parse(&key(self.id, due))
    }
}

pub fn principal(name: &ScheduleName) -> String {
    format!("schedule:{name}")
}

pub fn key(id: Uuid, due: DateTime<Utc>) -> String {
    format!("{id}/{}", due.timestamp_micros())
}

impl Firing {
    pub fn new(due: DateTime<Utc>) -> Self {
        Firing { due, run: None, ordered_by: None, state: FiringState::Due, detail: None }
    }
}

impl FiringState {
    pub const ALL: [FiringState; 5] =
        [FiringState::Due, FiringState::Started, FiringState::Skipped, FiringState::Missed, FiringState::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            FiringState::Due => "due",
            FiringState::Started => "started",
            FiringState::Skipped => "skipped",
            FiringState::Missed => "missed",
            FiringState::Failed => "failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        FiringState::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
