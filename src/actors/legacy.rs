//! What one life of the hub leaves to the next: the feed, and the numbers that watchers have had.
//!
//! A life owns the feed alone and works on it without a lock; it is put down here when the life ends, however it ends,
//! and the next life takes it up. A life that breaks off in the middle of a change leaves nothing, since the feed may be
//! half-changed: the next begins an empty one with an epoch of its own, and clients get snapshots. So it is, too, when
//! a life hangs and is left behind with what it holds; what it puts down later is refused.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::feed::state::Feed;

/// Outlives every life of the hub.
#[derive(Default)]
pub struct Legacy {
    left: Mutex<Left>,
    watchers: AtomicU64,
}

#[derive(Default)]
struct Left {
    feed: Option<Feed>,
    /// Counts the takers: only the newest may put the feed down again.
    takers: u64,
}

/// The feed in the hands of the one life that owns it.
pub struct Held {
    feed: Feed,
    taker: u64,
    /// False while a change is under way.
    is_whole: bool,
    legacy: Arc<Legacy>,
}

impl Legacy {
    /// The feed as the last life left it, else an empty one.
    pub fn take(self: &Arc<Self>) -> Held {
        let mut left = self.left.lock();
        left.takers += 1;
        let (feed, taker) = (left.feed.take().unwrap_or_else(empty), left.takers);
        Held { feed, taker, is_whole: true, legacy: Arc::clone(self) }
    }
}

fn empty() -> Feed {
    Feed::new(Uuid::new_v4().simple().to_string()[..12].to_owned())
}

impl Held {
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    pub fn change<T>(&mut self, change: impl FnOnce(&mut Feed) -> T) -> T {
        self.is_whole = false;
        let changed = change(&mut self.feed);
        self.is_whole = true;
        changed
    }

    /// A number that no watcher of this life or of an earlier one has had.
    pub fn next_watcher(&self) -> u64 {
        self.legacy.watchers.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut left = self.legacy.left.lock();
        if self.is_whole && left.takers == self.taker {
            left.feed = Some(std::mem::replace(&mut self.feed, Feed::new(String::new())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::feed::channel::Channel;

    fn publish(held: &mut Held) {
        let at = DateTime::from_timestamp(0, 0).expect("in range");
        assert!(held.change(|feed| feed.take(Channel::Events, "", at, Some(&json!({})))));
    }

    #[test]
    fn the_next_life_goes_on_with_the_feed_and_gives_new_numbers() {
        let legacy = Arc::new(Legacy::default());
        let mut first = legacy.take();
        publish(&mut first);
        let (epoch, number) = (first.feed().epoch().to_owned(), first.next_watcher());
        drop(first);
        let mut second = legacy.take();
        assert_eq!(second.feed().epoch(), epoch);
        publish(&mut second);
        assert_eq!(second.feed().seq(Channel::Events), 2);
        assert!(second.next_watcher() > number);
    }

    #[test]
    fn a_life_that_breaks_between_two_changes_leaves_the_feed_and_one_that_breaks_within_leaves_nothing() {
        let legacy = Arc::new(Legacy::default());
        let mut first = legacy.take();
        publish(&mut first);
        let epoch = first.feed().epoch().to_owned();
        let between = catch_unwind(AssertUnwindSafe(move || {
            let _held = first;
            panic!("between two changes");
        }));
        assert!(between.is_err());
        let mut second = legacy.take();
        assert_eq!((second.feed().epoch(), second.feed().seq(Channel::Events)), (epoch.as_str(), 1));
        let within = catch_unwind(AssertUnwindSafe(move || second.change(|_| panic!("within a change"))));
        assert!(within.is_err());
        let third = legacy.take();
        assert_ne!(third.feed().epoch(), epoch);
        assert_eq!(third.feed().seq(Channel::Events), 0);
    }

    #[test]
    fn a_life_that_was_left_behind_does_not_bring_its_feed_back() {
        let legacy = Arc::new(Legacy::default());
        let stuck = legacy.take();
        let mut next = legacy.take();
        publish(&mut next);
        let epoch = next.feed().epoch().to_owned();
        drop(stuck);
        drop(next);
        let last = legacy.take();
        assert_eq!((last.feed().epoch(), last.feed().seq(Channel::Events)), (epoch.as_str(), 1));
    }
}
