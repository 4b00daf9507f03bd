//! Whatever changes and however slowly a watcher reads: it ends up with what the feed knows.
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn feed() -> Feed {
    Feed::new("e".to_owned())
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).expect("in range")
}

/// What a client makes of frames.
#[derive(Default)]
struct Client {
    seen: Option<u64>,
    values: BTreeMap<String, Value>,
    log: Vec<u64>,
    lost: u64,
}

impl Client {
    /// Reads one frame; false: there was none.
    fn read(&mut self, feed: &Feed, channel: Channel) -> bool {
        let Some(frame) = feed.next_frame(channel, self.seen) else { return false };
        assert!(frame.text.len() < FRAME + 64 * 1024, "a frame of {} bytes", frame.text.len());
        let json: Value = serde_json::from_str(&frame.text).expect("JSON");
        assert_eq!(json["ch"], channel.as_str());
        match json["t"].as_str() {
            Some("gap") => self.lost += json["to"].as_u64().expect("to") - json["from"].as_u64().expect("from") + 1,
            kind => {
                if kind == Some("snap") {
                    self.values.clear();
                }
                assert_eq!(json["seq"], frame.seq);
                for item in json["d"].as_array().expect("items") {
                    match item["id"].as_str() {
                        None => self.log.push(item["seq"].as_u64().expect("seq")),
                        Some(id) if item["v"].is_null() => drop(self.values.remove(id)),
                        Some(id) => drop(self.values.insert(id.to_owned(), item["v"].clone())),
                    }
                }
            }
        }
        self.seen = Some(frame.seq);
        true
    }

    fn read_all(&mut self, feed: &Feed, channel: Channel) {
        while self.read(feed, channel) {}
    }
}

proptest! {
    #[test]
    fn a_watcher_ends_with_what_is_known(
        changes in prop::collection::vec((0_u8..12, prop::option::of(0_i64..5), any::<bool>()), 0..200),
        resume_late in any::<bool>(),
    ) {
        let (mut feed, mut client, mut model) = (feed(), Client::default(), BTreeMap::new());
        for (id, value, reads) in changes {
            let id = format!("id\"{id}");
            feed.take(Channel::Agents, &id, at(), value.map(|v| json!({ "n": v })).as_ref());
            match value {
                Some(value) => drop(model.insert(id, json!({ "n": value }))),
                None => drop(model.remove(&id)),
            }
            if reads && !resume_late {
                client.read(&feed, Channel::Agents);
            }
        }
        client.read_all(&feed, Channel::Agents);
        prop_assert_eq!(&client.values, &model);
        prop_assert_eq!(client.seen, Some(feed.seq(Channel::Agents)));
        prop_assert!(feed.next_frame(Channel::Agents, client.seen).is_none());
    }
}

#[test]
fn what_did_not_change_is_not_sent_again() {
    let mut feed = feed();
    assert!(feed.take(Channel::Host, "a", at(), Some(&json!(1))));
    assert!(!feed.take(Channel::Host, "a", at(), Some(&json!(1))));
    assert!(!feed.take(Channel::Host, "b", at(), None), "what was not there cannot go");
    assert_eq!(feed.seq(Channel::Host), 1);
}

#[test]
fn a_slow_reader_of_a_log_is_told_of_the_gap() {
    let (mut feed, mut client) = (feed(), Client::default());
    feed.take(Channel::Audit, "", at(), Some(&json!(0)));
    client.read_all(&feed, Channel::Audit);
    for n in 0..LOG + 50 {
        feed.take(Channel::Audit, "", at(), Some(&json!(n)));
    }
    client.read_all(&feed, Channel::Audit);
    assert_eq!((client.lost, client.log.len()), (50, 1 + LOG));
    assert!(client.log.windows(2).skip(1).all(|pair| pair[0] + 1 == pair[1]), "in order, none twice");
    let mut late = Client::default();
    late.read_all(&feed, Channel::Audit);
    assert_eq!((late.log.len() as u64, late.lost), (LOG_SHOWN, 0));
}

#[test]
fn removals_are_forgotten_in_the_end_and_a_late_reader_gets_a_snapshot() {
    let (mut feed, mut early) = (feed(), Client::default());
    feed.take(Channel::Alerts, "stays", at(), Some(&json!(1)));
    feed.take(Channel::Alerts, "gone-0", at(), Some(&json!(1)));
    early.read_all(&feed, Channel::Alerts);
    for n in 0..GONE + 10 {
        let id = format!("gone-{n}");
        feed.take(Channel::Alerts, &id, at(), Some(&json!(1)));
        feed.take(Channel::Alerts, &id, at(), None);
    }
    let known = &feed.channels[&Channel::Alerts];
    assert!(known.items.len() <= GONE + 1 && known.ids.len() <= GONE + 1, "{}", known.items.len());
    early.read_all(&feed, Channel::Alerts);
    assert_eq!(early.values.keys().collect::<Vec<_>>(), ["stays"]);
}

#[test]
fn only_the_newest_runs_are_kept_and_long_lists_come_in_parts() {
    let (mut feed, mut client) = (feed(), Client::default());
    for n in 0..RUNS * 2 {
        feed.take(Channel::Workflows, &n.to_string(), at(), Some(&json!("x".repeat(5_000))));
    }
    assert!(feed.next_frame(Channel::Workflows, None).is_some_and(|frame| frame.more));
    client.read_all(&feed, Channel::Workflows);
    assert_eq!(client.values.len(), RUNS);
    assert!(client.values.contains_key(&(RUNS * 2 - 1).to_string()));
}

#[test]
fn a_cursor_of_the_future_gets_a_snapshot() {
    let mut feed = feed();
    feed.take(Channel::Host, "a", at(), Some(&json!(1)));
    let frame = feed.next_frame(Channel::Host, Some(7)).expect("a frame");
    assert!(frame.text.starts_with("{\"t\":\"snap\""), "{}", frame.text);
}
