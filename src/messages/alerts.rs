//! What can be asked of the alert handler and of the recovery manager.
use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};

use crate::alerts::book::Alert;
use crate::alerts::metric::Sample;
use crate::recovery::action::Action;

/// Readings of a monitor. To be sent with `try_tell`: a reading that is late is worth nothing.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Observe {
    pub at: DateTime<Utc>,
    pub samples: Vec<Sample>,
}

/// The alerts that are pending, firing or resolved of late.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Alert>")]
pub struct GetAlerts;

/// Somebody knows of the alert. None: no such alert fires.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<Alert>")]
pub struct Acknowledge {
    pub fingerprint: String,
    pub by: String,
    pub comment: String,
}

/// The newest reading of each metric, and the last five minutes of those of the host and the service.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Readings")]
pub struct GetReadings;

/// Points of time with a value each, oldest first.
pub type Series = Arc<Vec<(DateTime<Utc>, f64)>>;

#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// Metric and what it is of.
    pub newest: Vec<Sample>,
    pub history: BTreeMap<&'static str, Series>,
}

/// What firing alerts call for at present, each with the rules that do. Sent every second.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Called(pub Vec<(Action, String)>);
