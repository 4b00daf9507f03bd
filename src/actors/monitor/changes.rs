//! Publishes values only when they differ from what was published before.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::trace;

use crate::feed::channel::Channel;
use crate::messages::events::{Event, Publish};
use crate::messages::port::Port;

pub struct Changes {
    channel: Channel,
    feed: Port<Publish>,
    told: HashMap<String, Value>,
}

impl Changes {
    pub fn new(channel: Channel, feed: Port<Publish>) -> Self {
        Changes { channel, feed, told: HashMap::new() }
    }

    /// Tells watchers of those values that are new.
    pub fn publish(&mut self, values: impl IntoIterator<Item = (String, Value)>, at: DateTime<Utc>) {
        let mut events = Vec::new();
        for (id, value) in values {
            if self.told.get(&id) != Some(&value) {
                self.told.insert(id.clone(), value.clone());
                events.push(Event { channel: self.channel, id, at, value: Some(value) });
            }
        }
        if events.is_empty() {
            return;
        }
        if let Err(refusal) = self.feed.try_tell(Publish(events)) {
            trace!("watchers are not told: {refusal}");
            // They are told anew once the hub is back.
            self.told.clear();
        }
    }
}
