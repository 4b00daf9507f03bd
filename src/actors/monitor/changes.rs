//! Publishes values when they differ from what was published before, and all of them now and then: the hub may be a
//! new one that has forgotten everything, and tells its watchers only of what is new to it.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::trace;

use crate::feed::channel::Channel;
use crate::messages::events::{Event, Publish};
use crate::messages::port::Port;

/// Of so many tellings one is of everything.
const EVERYTHING: u32 = 10;

pub struct Changes {
    channel: Channel,
    feed: Port<Publish>,
    count: u32,
    told: HashMap<String, Value>,
}

impl Changes {
    pub fn new(channel: Channel, feed: Port<Publish>) -> Self {
        Changes { channel, feed, count: 0, told: HashMap::new() }
    }

    /// Tells watchers of those values that are new.
    pub fn publish(&mut self, values: impl IntoIterator<Item = (String, Value)>, at: DateTime<Utc>) {
        self.count = self.count.wrapping_add(1);
        if self.count.is_multiple_of(EVERYTHING) {
            self.told.clear();
        }
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
        }
    }
}
