//! Tells watchers of new entries of the audit log: each once and in order, as far as the hub takes them.
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing::debug;

use crate::feed::channel::Channel;
use crate::messages::events::{Event, Publish};
use crate::messages::port::Port;
use crate::messages::store::LoadEntries;
use crate::workflow::record::StoredEntry;

const WITHIN: Duration = Duration::from_millis(900);
/// Entries that are read and told at once.
const PAGE: u64 = 200;
/// At one look; what a burst has beyond them comes with the next looks.
const MOST_PAGES: usize = 5;
/// Of the log as it is found at the start of the service.
const SHOWN_AT_FIRST: u64 = 50;

/// The way from the log to the feed.
#[derive(Clone)]
pub struct NewEntries {
    load: Port<LoadEntries>,
    feed: Port<Publish>,
    /// Entries before this one were handed over. It outlives the monitor, as the feed outlives the hub.
    told: Arc<Mutex<Option<u64>>>,
}

impl NewEntries {
    pub fn new(load: Port<LoadEntries>, feed: Port<Publish>) -> Self {
        NewEntries { load, feed, told: Arc::default() }
    }

    /// Hands over what is new in a log of `size` entries. What could not be read, or was refused, comes next time.
    pub async fn tell(&self, size: u64, at: DateTime<Utc>) {
        let mut from = *self.told.lock().get_or_insert(size.saturating_sub(SHOWN_AT_FIRST));
        for _ in 0..MOST_PAGES {
            if from >= size {
                return;
            }
            let page = LoadEntries { from, to: size.min(from + PAGE) };
            let loaded = match self.load.ask_within(page, WITHIN).await {
                Ok(Ok(loaded)) => loaded,
                Ok(Err(fault)) => return debug!("watchers are told of audit entries later: {fault}"),
                Err(fault) => return debug!("watchers are told of audit entries later: {fault}"),
            };
            let Some(last) = loaded.last().map(|entry| entry.index) else { return };
            let events = loaded.into_iter().map(|entry| event(entry, at)).collect();
            if let Err(refusal) = self.feed.try_tell(Publish(events)) {
                return debug!("watchers are told of audit entries later: {refusal}");
            }
            from = last + 1;
            *self.told.lock() = Some(from);
        }
    }
}

fn event(entry: StoredEntry, at: DateTime<Utc>) -> Event {
    let mut value: Value = serde_json::from_slice(&entry.leaf).unwrap_or_default();
    value["index"] = json!(entry.index);
    Event { channel: Channel::Audit, id: String::new(), at, value: Some(Arc::new(value)) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::ids::Digest;
    use crate::messages::port::AskError;
    use crate::workflow::record::StoreError;

    struct Setting {
        entries: NewEntries,
        told: Arc<Mutex<Vec<u64>>>,
        store_is_away: Arc<AtomicBool>,
        hub_is_away: Arc<AtomicBool>,
    }

    fn setting() -> Setting {
        let (store_is_away, hub_is_away) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let told = Arc::new(Mutex::new(Vec::new()));
        let away = Arc::clone(&store_is_away);
        let load = Port::answering(move |LoadEntries { from, to }| {
            if away.load(Ordering::Relaxed) {
                return Ok(Err(StoreError::Damaged { table: "t", detail: "away".to_owned() }));
            }
            let entry = |index| StoredEntry { index, leaf: b"{}".to_vec(), leaf_hash: Digest([0; 32]) };
            Ok(Ok((from..to).map(entry).collect()))
        });
        let (away, heard) = (Arc::clone(&hub_is_away), Arc::clone(&told));
        let feed = Port::answering(move |Publish(events): Publish| {
            if away.load(Ordering::Relaxed) {
                return Err(AskError::Overloaded);
            }
            let index = |event: Event| event.value.expect("a value")["index"].as_u64().expect("an index");
            heard.lock().extend(events.into_iter().map(index));
            Ok(())
        });
        Setting { entries: NewEntries::new(load, feed), told, store_is_away, hub_is_away }
    }

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(0, 0).expect("in range")
    }

    #[actix::test]
    async fn the_end_of_the_log_is_shown_at_first_and_then_what_is_new() {
        let Setting { entries, told, .. } = setting();
        entries.tell(1_000, at()).await;
        assert_eq!(*told.lock(), (950..1_000).collect::<Vec<_>>());
        entries.tell(1_000, at()).await;
        entries.clone().tell(1_003, at()).await;
        assert_eq!(*told.lock(), (950..1_003).collect::<Vec<_>>());
    }

    #[actix::test]
    async fn what_could_not_be_read_or_was_refused_is_told_later_and_once() {
        let Setting { entries, told, store_is_away, hub_is_away } = setting();
        entries.tell(0, at()).await;
        for away in [&store_is_away, &hub_is_away] {
            let before = told.lock().len() as u64;
            away.store(true, Ordering::Relaxed);
            entries.tell(before + 3, at()).await;
            assert_eq!(told.lock().len() as u64, before);
            away.store(false, Ordering::Relaxed);
            entries.tell(before + 4, at()).await;
            assert_eq!(*told.lock(), (0..before + 4).collect::<Vec<_>>());
        }
    }

    #[actix::test]
    async fn a_burst_is_told_whole_though_not_at_one_look() {
        let Setting { entries, told, .. } = setting();
        entries.tell(0, at()).await;
        let (most, size) = (PAGE * MOST_PAGES as u64, PAGE * MOST_PAGES as u64 + 10);
        entries.tell(size, at()).await;
        assert_eq!(told.lock().len() as u64, most);
        entries.tell(size, at()).await;
        assert_eq!(*told.lock(), (0..size).collect::<Vec<_>>());
    }
}
