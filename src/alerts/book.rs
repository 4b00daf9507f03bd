//! The book of alerts: takes readings in, tells what changed. Each alert is raised once, however often it is seen.
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::alerts::metric::Sample;
use crate::alerts::rule::{Rule, Severity};
use crate::recovery::action::Action;

/// A reading that does not come any more is no sign of health: a firing alert stays, a pending one is forgotten.
pub const STALE: Duration = Duration::from_secs(30);
/// So many changes between firing and resolved within this time are flapping: no more actions until it is quiet.
const FLAPS: usize = 4;
const FLAP_WINDOW: Duration = Duration::from_secs(600);
/// Resolved alerts are shown so long.
const SHOWN: Duration = Duration::from_secs(900);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AlertState")]
pub enum State {
    Pending,
    Firing,
    Resolved,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Firing => "firing",
            State::Resolved => "resolved",
        }
    }
}

/// Two times of one moment: the one to reckon with, the one to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub mono: Instant,
    pub wall: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    pub by: String,
    pub comment: String,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for each time that the same rule holds of the same thing.
    pub fingerprint: String,
    pub rule: String,
    /// What is read.
    #[serde(default)]
    pub metric: String,
    pub severity: Severity,
    pub state: State,
    pub summary: String,
    pub value: f64,
    pub threshold: f64,
    /// Since when the reading has been a breach.
    pub since: DateTime<Utc>,
    pub fired: Option<DateTime<Utc>>,
    pub resolved: Option<DateTime<Utc>>,
    pub labels: BTreeMap<String, String>,
    pub action: Option<Action>,
    pub ack: Option<Ack>,
    /// It goes to and fro: its action is held back.
    pub flapping: bool,
}

/// What a reading changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub what: What,
    pub alert: Alert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Pending,
    /// The breach ended before it had lasted.
    Forgotten,
    Raised,
    Resolved,
    Acknowledged,
    /// It is not shown any more.
    Dropped,
    /// One of before the start, read after it was raised anew: only its row ends.
    Superseded,
}

struct Entry {
    alert: Alert,
    since: Instant,
    seen: Instant,
    /// When it was raised or resolved of late.
    turns: VecDeque<Instant>,
    /// What it was before the present breach, and since when: a breach that does not last does not undo it.
    resolved: Option<Box<(Alert, Instant)>>,
}

pub struct Book {
    rules: Vec<Rule>,
    entries: BTreeMap<String, Entry>,
}

impl Book {
    pub fn new(rules: Vec<Rule>) -> Self {
        Book { rules, entries: BTreeMap::new() }
    }

    /// Takes up alerts that fired before a restart, so that they are not raised anew; they are of the present rules.
    /// Those of rules that are gone end here, and those that have been raised anew meanwhile.
    pub fn restore(&mut self, firing: Vec<Alert>, now: Moment) -> Vec<Change> {
        let mut ended = Vec::new();
        for mut alert in firing {
            let known = self.entries.get(&alert.fingerprint);
            let again = known.is_some_and(|entry| entry.alert.fired.is_some() && entry.alert.fired != alert.fired);
            match self.rules.iter().find(|rule| rule.name == alert.rule) {
                Some(rule) if !again => {
                    let Rule { metric, severity, summary, action, .. } = rule.clone();
                    let threshold = rule.raise.value();
                    let metric = metric.to_owned();
                    let alert = Alert { metric, severity, summary, action, threshold, flapping: false, ..alert };
                    let entry =
                        Entry { since: now.mono, seen: now.mono, turns: VecDeque::new(), resolved: None, alert };
                    self.entries.insert(entry.alert.fingerprint.clone(), entry);
                }
                rule => {
                    alert.state = State::Resolved;
                    alert.resolved = Some(now.wall);
                    let what = if rule.is_some() { What::Superseded } else { What::Resolved };
                    ended.push(Change { what, alert });
                }
            }
        }
        ended
    }

    pub fn observe(&mut self, samples: &[Sample], now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        for rule in &self.rules {
            for sample in samples.iter().filter(|sample| sample.metric == rule.metric) {
                judge(&mut self.entries, rule, sample, now, &mut changes);
            }
        }
        self.tidy(now, &mut changes);
        changes
    }

    /// None: no such alert fires.
    pub fn acknowledge(&mut self, fingerprint: &str, ack: Ack) -> Option<Change> {
        let entry = self.entries.get_mut(fingerprint).filter(|entry| entry.alert.state == State::Firing)?;
        entry.alert.ack = Some(ack);
        Some(Change { what: What::Acknowledged, alert: entry.alert.clone() })
    }

    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.entries.values().map(|entry| &entry.alert)
    }

    /// The actions that firing alerts call for.
    pub fn called_for(&self) -> impl Iterator<Item = (Action, &Alert)> {
        let firing = self.alerts().filter(|alert| alert.state == State::Firing && !alert.flapping);
        firing.filter_map(|alert| Some((alert.action?, alert)))
    }

    fn tidy(&mut self, now: Moment, changes: &mut Vec<Change>) {
        let age = |since: Instant| now.mono.saturating_duration_since(since);
        self.entries.retain(|_, entry| {
            reckon_flapping(entry, now);
            let what = match entry.alert.state {
                State::Pending if age(entry.seen) > STALE => {
                    changes.push(Change { what: What::Forgotten, alert: entry.alert.clone() });
                    return is_resolved_again(entry);
                }
                State::Resolved if age(entry.since) > SHOWN => What::Dropped,
                State::Pending | State::Firing | State::Resolved => return true,
            };
            changes.push(Change { what, alert: entry.alert.clone() });
            false
        });
    }
}

fn judge(entries: &mut BTreeMap<String, Entry>, rule: &Rule, sample: &Sample, now: Moment, changes: &mut Vec<Change>) {
    let breach = rule.raise.is_breached_by(sample.value);
    let fingerprint = fingerprint(rule, sample);
    let known = entries.get(&fingerprint).map(|entry| entry.alert.state);
    let entry = match known {
        None | Some(State::Resolved) if !breach => return,
        None => entries.entry(fingerprint.clone()).or_insert_with(|| fresh(rule, sample, fingerprint, now)),
        Some(_) => match entries.get_mut(&fingerprint) {
            Some(entry) => entry,
            None => return,
        },
    };
    entry.seen = now.mono;
    entry.alert.value = sample.value;
    match entry.alert.state {
        State::Resolved => {
            let turns = std::mem::take(&mut entry.turns);
            let resolved = Some(Box::new((entry.alert.clone(), entry.since)));
            *entry = Entry { turns, resolved, ..fresh(rule, sample, entry.alert.fingerprint.clone(), now) };
            ripen(entry, rule, now, known, changes);
        }
        State::Pending if breach => ripen(entry, rule, now, known, changes),
        State::Pending => {
            changes.push(Change { what: What::Forgotten, alert: entry.alert.clone() });
            if !is_resolved_again(entry) {
                let gone = entry.alert.fingerprint.clone();
                entries.remove(&gone);
            }
        }
        State::Firing if rule.is_cleared_by(sample.value) => {
            entry.since = now.mono;
            entry.alert.state = State::Resolved;
            entry.alert.resolved = Some(now.wall);
            entry.alert.ack = None;
            turn(entry, now);
            changes.push(Change { what: What::Resolved, alert: entry.alert.clone() });
        }
        State::Firing => {}
    }
}

/// A breach is forgotten: what was resolved before it is shown again. False: there was nothing before it.
fn is_resolved_again(entry: &mut Entry) -> bool {
    let Some(before) = entry.resolved.take() else { return false };
    (entry.alert, entry.since) = *before;
    true
}

/// A breach that has lasted long enough fires.
fn ripen(entry: &mut Entry, rule: &Rule, now: Moment, known: Option<State>, changes: &mut Vec<Change>) {
    if now.mono.saturating_duration_since(entry.since) >= rule.hold {
        entry.alert.state = State::Firing;
        entry.alert.fired = Some(now.wall);
        entry.resolved = None;
        turn(entry, now);
        changes.push(Change { what: What::Raised, alert: entry.alert.clone() });
    } else if known != Some(State::Pending) {
        changes.push(Change { what: What::Pending, alert: entry.alert.clone() });
    }
}

fn turn(entry: &mut Entry, now: Moment) {
    entry.turns.push_back(now.mono);
    reckon_flapping(entry, now);
}

fn reckon_flapping(entry: &mut Entry, now: Moment) {
    entry.turns.retain(|at| now.mono.saturating_duration_since(*at) <= FLAP_WINDOW);
    entry.alert.flapping = entry.turns.len() > FLAPS;
}

fn fresh(rule: &Rule, sample: &Sample, fingerprint: String, now: Moment) -> Entry {
    let mut labels = rule.labels.clone();
    if let Some(of) = &sample.of {
        labels.insert("of".to_owned(), of.clone());
    }
    let alert = Alert {
        fingerprint,
        rule: rule.name.clone(),
        metric: rule.metric.to_owned(),
        severity: rule.severity,
        state: State::Pending,
        summary: rule.summary.clone(),
        value: sample.value,
        threshold: rule.raise.value(),
        since: now.wall,
        fired: None,
        resolved: None,
        labels,
        action: rule.action,
        ack: None,
        flapping: false,
    };
    Entry { alert, since: now.mono, seen: now.mono, turns: VecDeque::new(), resolved: None }
}

/// Of the rule and what it holds of: the first 16 hexadecimal digits of a SHA-256.
fn fingerprint(rule: &Rule, sample: &Sample) -> String {
    let mut hash = Sha256::new();
    for part in [rule.name.as_str(), sample.of.as_deref().unwrap_or_default()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests;
