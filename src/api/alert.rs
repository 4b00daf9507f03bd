//! Alerts, and the readings that they are made from.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alerts::book::{Ack, State};
use crate::alerts::rule::Severity;
use crate::recovery::action::Action;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// The same each time that this rule holds of this thing.
    pub alert_id: String,
    pub rule: String,
    /// What is read; `GET /api/v1/host` tells its unit.
    pub metric: String,
    pub severity: Severity,
    pub state: State,
    pub summary: String,
    /// The newest reading.
    pub value: f64,
    pub threshold: f64,
    /// Since when the reading has been a breach.
    pub since: DateTime<Utc>,
    pub fired: Option<DateTime<Utc>>,
    pub resolved: Option<DateTime<Utc>>,
    pub labels: BTreeMap<String, String>,
    /// What the service does by itself while it fires.
    pub action: Option<Action>,
    pub ack: Option<Ack>,
    /// It goes to and fro: its action is held back.
    pub flapping: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alerts {
    pub alerts: Vec<Alert>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAck {
    #[serde(default)]
    pub comment: String,
}

/// Whether the exercise alert shall fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exercise {
    pub firing: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    pub readings: Vec<Reading>,
    /// Milliseconds since 1970 with a value each, oldest first, by metric: the last five minutes.
    pub history: BTreeMap<String, Vec<(i64, f64)>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reading {
    pub metric: String,
    /// `ratio`, `bytes`, `seconds`, `count` or `flag`.
    pub unit: String,
    pub meaning: String,
    pub of: Option<String>,
    pub value: f64,
}
