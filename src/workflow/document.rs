//! The keys of a workflow document, and a reader that collects faults instead of stopping at the first.
use std::time::Duration;

use serde_json::{Map, Value};

use crate::toolkit::duration;
use crate::workflow::expr::kind;
use crate::workflow::fault::Fault;
use crate::workflow::fault::below;
use crate::workflow::fault::did_you_mean;

/// The keys of one kind of object.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// What the object is called in faults.
    pub of: &'static str,
    pub known: &'static [&'static str],
    /// Belong to the document, but this release refuses them, since ignoring them would change what a run does.
    pub later: &'static [&'static str],
}

pub const RUN: Keys = Keys {
    of: "a workflow",
    known: &["name", "mode", "inputs", "labels", "priority", "timeout", "on_failure", "steps"],
    later: &["concurrency", "notify", "schedule"],
};

pub const STEP: Keys = Keys {
    of: "a step",
    known: &[
        "id",
        "agent",
        "task",
        "tool",
        "input",
        "needs",
        "when",
        "timeout",
        "attempt_timeout",
        "retry",
        "approve",
        "on_failure",
        "sleep",
        "wait_for",
        "for_each",
        "max_parallel",
        "playbook",
        "inputs",
    ],
    later: &["host"],
};

pub const APPROVE: Keys = Keys { of: "`approve`", known: &["role", "expires", "reason"], later: &[] };

pub const RETRY: Keys =
    Keys { of: "`retry`", known: &["max_attempts", "initial", "factor", "max", "jitter", "not_on"], later: &[] };

/// The short form that runs each agent's default tool.
pub const AGENTS: Keys = Keys {
    of: "a workflow of agents",
    known: &["agents", "name", "mode", "labels", "priority", "timeout", "on_failure"],
    later: &["concurrency", "notify", "schedule"],
};

/// The short form that starts a playbook.
pub const PLAYBOOK: Keys =
    Keys { of: "the start of a playbook", known: &["playbook", "inputs", "labels", "priority"], later: &[] };

/// Reads values and keeps the faults.
#[derive(Debug, Default)]
pub struct Reader {
    pub faults: Vec<Fault>,
    /// Playbooks that what is read is part of, the outermost first.
    pub around: Vec<String>,
    /// Steps read so far, those of playbooks included.
    pub steps: usize,
}

impl Reader {
    pub fn fault(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.faults.push(Fault::new(pointer, detail));
    }

    /// The fields of an object whose keys are all known.
    pub fn object<'v>(&mut self, value: &'v Value, pointer: &str, keys: Keys) -> Option<&'v Map<String, Value>> {
        let fields = self.plain_object(value, pointer)?;
        for key in fields.keys().map(String::as_str) {
            if keys.later.contains(&key) {
                self.fault(below(pointer, key), format!("this release does not carry out `{key}` of {} yet", keys.of));
            } else if !keys.known.contains(&key) {
                let all = keys.known.iter().chain(keys.later).copied();
                self.fault(below(pointer, key), format!("{} has no key `{key}`{}", keys.of, did_you_mean(key, all)));
            }
        }
        Some(fields)
    }

    pub fn plain_object<'v>(&mut self, value: &'v Value, pointer: &str) -> Option<&'v Map<String, Value>> {
        let fields = value.as_object();
        if fields.is_none() {
            self.wrong_kind(pointer, "an object", value);
        }
        fields
    }

    pub fn list<'v>(&mut self, value: &'v Value, pointer: &str) -> Option<&'v [Value]> {
        let items = value.as_array();
        if items.is_none() {
            self.wrong_kind(pointer, "a list", value);
        }
        items.map(Vec::as_slice)
    }

    pub fn text<'v>(&mut self, value: &'v Value, pointer: &str) -> Option<&'v str> {
        let text = value.as_str();
        if text.is_none() {
            self.wrong_kind(pointer, "text", value);
        }
        text
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, value: &Value, pointer: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(value, pointer)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let all: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let hint = did_you_mean(text, words.iter().map(|(word, _)| *word));
            self.fault(pointer, format!("`{text}` is not one of {}{hint}", all.join(", ")));
        }
        found
    }

    /// A duration, more than nothing.
    pub fn duration(&mut self, value: &Value, pointer: &str) -> Option<Duration> {
        let duration = self.any_duration(value, pointer)?;
        if duration.is_zero() {
            self.fault(pointer, "must be longer than nothing");
            return None;
        }
        Some(duration)
    }

    pub fn any_duration(&mut self, value: &Value, pointer: &str) -> Option<Duration> {
        let Some(text) = value.as_str() else {
            self.fault(pointer, format!("must be a duration such as `30s`, not {}", kind(value)));
            return None;
        };
        duration::parse(text).map_err(|error| self.fault(pointer, error.to_string())).ok()
    }

    pub fn wrong_kind(&mut self, pointer: &str, wanted: &str, value: &Value) {
        self.fault(pointer, format!("must be {wanted}, not {}", kind(value)));
    }
}
