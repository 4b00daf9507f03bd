//! Publishes values when they differ from what was published before, and all of them now and then: the hub may be a
//! new one that has forgotten everything, and tells its watchers only of what is new to it.
use std::collections::HashMap;
use std::sync::Arc;

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
                events.push(Event { channel: self.channel, id, at, value: Some(Arc::new(value)) });
            }
        }
        if events.is_empty() {
            return;
        }
        if let Err(refusal) = self.feed.try_tell(Publish(events)) {
            trace!("watchers are told next time: {refusal}");
            self.told.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use parking_lot::Mutex;

    use super::*;
    use crate::messages::port::AskError;

    #[test]
    fn only_what_is_new_is_told_and_what_was_refused_next_time() {
        let (is_away, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (away, told) = (Arc::clone(&is_away), Arc::clone(&heard));
        let feed = Port::answering(move |Publish(events): Publish| {
            if away.load(Ordering::Relaxed) {
                return Err(AskError::Overloaded);
            }
            told.lock().extend(events.into_iter().map(|event| event.id));
            Ok(())
        });
        let mut changes = Changes::new(Channel::Service, feed);
        let at = DateTime::from_timestamp(0, 0).expect("in range");
        let mut check = |values: [u64; 2], expected: &[&str]| {
            let [a, b] = values.map(Value::from);
            changes.publish([("a".to_owned(), a), ("b".to_owned(), b)], at);
            assert_eq!(std::mem::take(&mut *heard.lock()), expected);
        };
        check([1, 1], &["a", "b"]);
        check([1, 2], &["b"]);
        is_away.store(true, Ordering::Relaxed);
        check([2, 2], &[]);
        is_away.store(false, Ordering::Relaxed);
        check([2, 2], &["a", "b"]);
        check([2, 2], &[]);
    }
}
