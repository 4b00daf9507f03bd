//! Schedules: workflows that are run again and again.
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::ids::RunId;

/// When a workflow is to be run. Exactly one of `cron` and `every` is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSchedule {
    /// 1 to 64 of a-z, 0-9 and `-`, starting with a letter or digit.
    pub name: String,
    /// A workflow of any form: with `steps`, with `agents`, or a `playbook` with `inputs`.
    pub workflow: Value,
    /// Five fields (minute, hour, day, month, weekday), or a nickname such as `@daily`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// An interval such as `30s` or `6h`, counted from when the schedule was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Of the IANA database, such as `Europe/Berlin`; `UTC` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What becomes of times that passed while the service was away: `skip`, `one` (the newest, the default) or `all`
    /// (100 at most).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
    /// What becomes of a time at which the last run is still open: `skip` (the default), `queue`, `allow` or
    /// `cancel_previous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    pub schedule_id: Uuid,
    pub name: String,
    pub workflow: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    pub time_zone: String,
    pub catch_up: String,
    pub overlap: String,
    pub paused: bool,
    pub created: DateTime<Utc>,
    pub created_by: String,
    /// The next few times, in the time zone; none while it is paused.
    pub upcoming: Vec<String>,
    /// How many firings are to be carried out yet.
    pub waiting: usize,
    /// Its runs that have not ended; empty where they may overlap.
    pub open: Vec<RunId>,
    /// The newest firing that was dealt with.
    pub last: Option<Firing>,
    /// What keeps it from going on at present; it tries again.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedules {
    pub schedules: Vec<Schedule>,
    pub next: Option<String>,
}

/// A schedule with its newest firings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownSchedule {
    #[serde(flatten)]
    pub schedule: Schedule,
    pub firings: Vec<Firing>,
}

/// One time at which a schedule was due, or was told to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Firing {
    pub due: DateTime<Utc>,
    /// `due` (to be carried out yet), `started`, `skipped`, `missed` or `failed`.
    pub state: String,
    pub workflow_id: Option<RunId>,
    /// Who had it run now; none: it was due.
    pub ordered_by: Option<String>,
    pub detail: Option<String>,
}

/// What an order to run now has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ordered {
    pub schedule_id: Uuid,
    pub name: String,
    #[serde(flatten)]
    pub firing: Firing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    pub schedule_id: Uuid,
    pub name: String,
    pub deleted: bool,
}
