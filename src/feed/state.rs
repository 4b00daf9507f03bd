//! What is known, per channel: each change gets the next sequence number of its channel.
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::feed::channel::Channel;

/// Entries that a log channel keeps.
const LOG: usize = 10_000;
/// Of a log, what a new watcher is shown.
const LOG_SHOWN: u64 = 200;
/// Removals that are remembered, so that a watcher that comes back learns of them.
const GONE: usize = 1_000;
/// Runs that are kept; older ones are in the database.
const RUNS: usize = 100;
/// A frame takes no more items once it is this long.
pub const FRAME: usize = 128 * 1024;

/// Everything that watchers may see.
pub struct Feed {
    epoch: String,
    channels: HashMap<Channel, Known>,
}

/// One channel.
#[derive(Default)]
struct Known {
    /// Of the newest change.
    seq: u64,
    /// Watchers that saw less than this need a snapshot: removals before it are forgotten.
    floor: u64,
    /// Of a state channel: the change that each id stands at.
    ids: HashMap<String, u64>,
    /// By sequence number. None: the id is gone.
    items: BTreeMap<u64, Item>,
    /// Those of a state channel that have a value.
    present: BTreeSet<u64>,
    gone: VecDeque<u64>,
}

struct Item {
    id: String,
    at: i64,
    /// Encoded once, for all watchers.
    value: Option<Arc<str>>,
}

/// One frame with data, and up to where it brings its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub text: String,
    pub seq: u64,
    /// There is more.
    pub more: bool,
}

impl Feed {
    pub fn new(epoch: String) -> Self {
        Feed { epoch, channels: HashMap::new() }
    }

    /// Sequence numbers are comparable within one epoch.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Takes a change in. False: nothing changed.
    pub fn take(&mut self, channel: Channel, id: &str, at: DateTime<Utc>, value: Option<&Value>) -> bool {
        let known = self.channels.entry(channel).or_default();
        let at = at.timestamp_millis();
        let value: Option<Arc<str>> = value.map(|value| value.to_string().into());
        if channel.is_log() {
            known.seq += 1;
            known.items.insert(known.seq, Item { id: String::new(), at, value });
            if known.items.len() > LOG {
                known.items.pop_first();
            }
            return true;
        }
        let before = known.ids.get(id).and_then(|seq| known.items.get(seq));
        let stands = before.and_then(|item| item.value.as_deref());
        if stands == value.as_deref() {
            return false;
        }
        known.put(id, at, value);
        if channel == Channel::Workflows {
            known.forget_oldest(RUNS);
        }
        true
    }

    pub fn seq(&self, channel: Channel) -> u64 {
        self.channels.get(&channel).map_or(0, |known| known.seq)
    }

    /// The next frame for a watcher that has seen `cursor`, none for one that has seen nothing. No frame: nothing new.
    pub fn next_frame(&self, channel: Channel, cursor: Option<u64>) -> Option<Frame> {
        let empty = Known::default();
        let known = self.channels.get(&channel).unwrap_or(&empty);
        let cursor = cursor.filter(|seen| *seen <= known.seq);
        if channel.is_log() { known.log_frame(channel, cursor) } else { known.state_frame(channel, cursor) }
    }
}

impl Known {
    fn put(&mut self, id: &str, at: i64, value: Option<Arc<str>>) {
        self.seq += 1;
        let is_gone = value.is_none();
        if let Some(before) = self.ids.insert(id.to_owned(), self.seq) {
            self.items.remove(&before);
            self.present.remove(&before);
        }
        self.items.insert(self.seq, Item { id: id.to_owned(), at, value });
        if is_gone {
            self.gone.push_back(self.seq);
        } else {
            self.present.insert(self.seq);
        }
        while self.gone.len() > GONE {
            let Some(oldest) = self.gone.pop_front() else { break };
            // It may have come back since.
            if self.items.get(&oldest).is_some_and(|item| item.value.is_none()) {
                if let Some(item) = self.items.remove(&oldest) {
                    self.ids.remove(&item.id);
                }
                self.floor = self.floor.max(oldest);
            }
        }
    }

    /// Values that have not changed for the longest time go, down to `most`.
    fn forget_oldest(&mut self, most: usize) {
        if self.present.len() > most {
            let oldest = self.present.first().and_then(|seq| self.items.get(seq));
            if let Some((id, at)) = oldest.map(|item| (item.id.clone(), item.at)) {
                self.put(&id, at, None);
            }
        }
    }

    fn state_frame(&self, channel: Channel, cursor: Option<u64>) -> Option<Frame> {
        let cursor = cursor.filter(|seen| *seen >= self.floor);
        let (kind, from) = match cursor {
            Some(seen) if seen == self.seq => return None,
            Some(seen) => ("delta", seen),
            None => ("snap", 0),
        };
        let mut items = String::new();
        let (mut seq, mut more) = (self.seq, false);
        let mut last = from;
        for (number, item) in self.items.range(from + 1..) {
            if items.len() >= FRAME {
                (seq, more) = (last, true);
                break;
            }
            last = *number;
            if kind == "snap" && item.value.is_none() {
                continue;
            }
            separate(&mut items);
            let value = item.value.as_deref().unwrap_or("null");
            write_item(&mut items, format_args!("\"id\":{},\"at\":{},\"v\":{value}", quoted(&item.id), item.at));
        }
        Some(Frame { text: data_frame(kind, channel, seq, &items), seq, more })
    }

    fn log_frame(&self, channel: Channel, cursor: Option<u64>) -> Option<Frame> {
        let first = self.items.keys().next().copied().unwrap_or(self.seq + 1);
        let (kind, from) = match cursor {
            Some(seen) if seen == self.seq => return None,
            Some(seen) if seen + 1 < first => {
                let (from, to, name) = (seen + 1, first - 1, channel.as_str());
                let text = format!("{{\"t\":\"gap\",\"ch\":\"{name}\",\"from\":{from},\"to\":{to},\"why\":\"slow\"}}");
                return Some(Frame { text, seq: first - 1, more: true });
            }
            Some(seen) => ("delta", seen),
            None => ("snap", self.seq.saturating_sub(LOG_SHOWN).max(first - 1)),
        };
        let mut items = String::new();
        let (mut seq, mut more) = (self.seq, false);
        for (number, item) in self.items.range(from + 1..) {
            if items.len() >= FRAME {
                (seq, more) = (*number - 1, true);
                break;
            }
            separate(&mut items);
            let value = item.value.as_deref().unwrap_or("null");
            write_item(&mut items, format_args!("\"seq\":{number},\"at\":{},\"v\":{value}", item.at));
        }
        Some(Frame { text: data_frame(kind, channel, seq, &items), seq, more })
    }
}

fn separate(items: &mut String) {
    if !items.is_empty() {
        items.push(',');
    }
}

fn write_item(items: &mut String, parts: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let written = write!(items, "{{{parts}}}");
    debug_assert!(written.is_ok());
}

fn data_frame(kind: &str, channel: Channel, seq: u64, items: &str) -> String {
    format!("{{\"t\":\"{kind}\",\"ch\":\"{}\",\"seq\":{seq},\"d\":[{items}]}}", channel.as_str())
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
