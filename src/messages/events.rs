//! What happens, for eyes: sources publish, the hub keeps the present state and tells those who watch.
//!
//! Events are never awaited and may be dropped: the journal and the audit log are the truth, a watcher that missed
//! something gets a snapshot.
use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::feed::channel::Channel;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub channel: Channel,
    /// Of a state channel: whose value this is. Of a log channel: empty.
    pub id: String,
    /// When it happened, at its source.
    pub at: DateTime<Utc>,
    /// The whole new value; none: the id is gone. Shared, since news that were refused are told again.
    pub value: Option<Arc<Value>>,
}

/// Tells the hub. To be sent with `try_tell`: nobody waits for eyes.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Publish(pub Vec<Event>);
