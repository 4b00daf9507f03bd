//! One watcher: what it follows, what it has been sent, and what it has not yet taken in.
//!
//! After each batch of frames goes a ping; its pong says that the batch was read. While too much is unread nothing more
//! is sent: state is overtaken in the feed, logs become gaps. A watcher that reads nothing for a while is dropped.
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::feed::channel::Channel;
use crate::feed::state::Feed;

/// Batches that may be unread.
const WINDOW: usize = 8;
/// Bytes that may be unread; one batch more may be begun.
const UNREAD: usize = 256 * 1024;
/// A batch takes no more frames once it is this long.
const BATCH: usize = 256 * 1024;
/// A watcher that has read nothing for so long, though something waits for it, is dropped.
pub const PATIENCE: Duration = Duration::from_secs(5);
const DEFAULT_RATE: f64 = 20.0;

#[derive(Debug, Clone)]
struct Following {
    cursor: Option<u64>,
    every: Duration,
    sent: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct Watcher {
    following: BTreeMap<Channel, Following>,
    unread: VecDeque<(u64, usize)>,
    unread_bytes: usize,
    batch: u64,
    /// Since when the oldest unread batch waits.
    waiting_since: Option<Instant>,
}

/// Frames to send, and the number of the ping that goes after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub number: u64,
    pub frames: Vec<String>,
}

impl Watcher {
    /// Follows a channel from `cursor`, or from a snapshot.
    pub fn follow(&mut self, channel: Channel, cursor: Option<u64>, rate_hz: Option<f64>) {
        let rate = rate_hz.filter(|rate| rate.is_finite()).unwrap_or(DEFAULT_RATE).clamp(0.1, 60.0);
        let every = if channel.is_log() { Duration::ZERO } else { Duration::from_secs_f64(1.0 / rate) };
        self.following.insert(channel, Following { cursor, every, sent: None });
    }

    pub fn leave(&mut self, channel: Channel) {
        self.following.remove(&channel);
    }

    /// What may be sent now, if anything.
    pub fn next(&mut self, feed: &Feed, now: Instant) -> Option<Batch> {
        if self.unread.len() >= WINDOW || self.unread_bytes >= UNREAD {
            return None;
        }
        let (mut frames, mut bytes) = (Vec::new(), 0);
        for (channel, following) in &mut self.following {
            let due = following.sent.is_none_or(|sent| now.saturating_duration_since(sent) >= following.every);
            while due && bytes < BATCH {
                let Some(frame) = feed.next_frame(*channel, following.cursor) else { break };
                following.cursor = Some(frame.seq);
                following.sent = Some(now);
                bytes += frame.text.len();
                frames.push(frame.text);
            }
        }
        (!frames.is_empty()).then(|| self.sent(frames, bytes, now))
    }

    /// Counts frames that are sent beside the feed, such as a heartbeat, as a batch of their own.
    pub fn sent(&mut self, frames: Vec<String>, bytes: usize, now: Instant) -> Batch {
        self.batch += 1;
        self.unread.push_back((self.batch, bytes));
        self.unread_bytes += bytes;
        self.waiting_since.get_or_insert(now);
        Batch { number: self.batch, frames }
    }

    /// All batches up to this one were read.
    pub fn read(&mut self, number: u64, now: Instant) {
        let before = self.unread.len();
        while self.unread.front().is_some_and(|(oldest, _)| *oldest <= number) {
            if let Some((_, bytes)) = self.unread.pop_front() {
                self.unread_bytes -= bytes;
            }
        }
        if self.unread.is_empty() {
            self.waiting_since = None;
        } else if self.unread.len() < before {
            self.waiting_since = Some(now);
        }
    }

    pub fn is_stuck(&self, now: Instant) -> bool {
        self.waiting_since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }

    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Bytes that were sent and not read.
    pub fn unread_bytes(&self) -> usize {
        self.unread_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    static START: LazyLock<Instant> = LazyLock::new(crate::clock::now);

    fn at(ms: u64) -> Instant {
        *START + Duration::from_millis(ms)
    }

    fn set(feed: &mut Feed, id: &str, size: usize) {
        let wall = DateTime::from_timestamp(0, 0).expect("in range");
        feed.take(Channel::Agents, id, wall, Some(&json!({ "n": feed.seq(Channel::Agents), "x": "x".repeat(size) })));
    }

    fn setting() -> (Feed, Watcher) {
        let (feed, mut watcher) = (Feed::new("e".into()), Watcher::default());
        watcher.follow(Channel::Agents, None, Some(10.0));
        (feed, watcher)
    }

    #[test]
    fn changes_between_two_sendings_become_one() {
        let (mut feed, mut watcher) = setting();
        set(&mut feed, "a", 1);
        let first = watcher.next(&feed, at(0)).expect("a snapshot");
        assert!(first.frames[0].contains("snap"));
        watcher.read(first.number, at(1));
        for _ in 0..50 {
            set(&mut feed, "a", 1);
            assert_eq!(watcher.next(&feed, at(50)), None, "not before its time");
        }
        let second = watcher.next(&feed, at(100)).expect("a delta");
        assert_eq!(second.frames.len(), 1);
        assert_eq!(second.frames[0].matches("\"id\"").count(), 1);
    }

    #[test]
    fn one_that_reads_nothing_is_sent_little_and_then_dropped() {
        let (mut feed, mut watcher) = setting();
        let mut sent = 0;
        for step in 0..1_000 {
            for id in 0..20 {
                set(&mut feed, &id.to_string(), 2_000);
            }
            let batch = watcher.next(&feed, at(step * 100));
            sent += batch.map_or(0, |batch| batch.frames.iter().map(String::len).sum());
        }
        assert!(sent < 1024 * 1024, "{sent} bytes were sent to one that reads nothing");
        assert!(!watcher.is_stuck(at(4_999)) && watcher.is_stuck(at(5_000)));
    }

    #[test]
    fn one_that_reads_slowly_is_not_dropped_and_catches_up() {
        let (mut feed, mut watcher) = setting();
        let mut pending = VecDeque::new();
        for step in 0..200_u64 {
            set(&mut feed, "a", 10);
            if let Some(batch) = watcher.next(&feed, at(step * 100)) {
                pending.push_back(batch);
            }
            // It reads one batch in three seconds.
            if step % 30 == 29
                && let Some(batch) = pending.pop_front()
            {
                watcher.read(batch.number, at(step * 100));
            }
            assert!(!watcher.is_stuck(at(step * 100)), "step {step}");
            assert!(pending.len() <= WINDOW);
        }
        let newest = pending.back().map(|batch| batch.number).expect("some");
        watcher.read(newest, at(20_000));
        assert!(!watcher.has_unread() && watcher.unread_bytes() == 0);
        let last = watcher.next(&feed, at(20_100)).expect("what it missed");
        assert!(last.frames[0].contains(&format!("\"seq\":{}", feed.seq(Channel::Agents))));
    }

    #[test]
    fn whoever_comes_back_gets_only_what_is_new() {
        let (mut feed, _) = setting();
        set(&mut feed, "a", 1);
        set(&mut feed, "b", 1);
        let mut back = Watcher::default();
        back.follow(Channel::Agents, Some(1), None);
        let batch = back.next(&feed, at(0)).expect("a delta");
        assert!(batch.frames[0].contains("delta") && batch.frames[0].contains("\"b\""));
        assert!(!batch.frames[0].contains("\"a\""));
    }
}
