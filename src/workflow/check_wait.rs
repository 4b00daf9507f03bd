//! Reads the steps that do no work but wait, and what is said about approval.
use std::time::Duration;

use serde_json::{Map, Value};

use crate::access::role::Role;
use crate::ids::SignalName;
use crate::workflow::check_step::Job;
use crate::workflow::document;
use crate::workflow::document::Reader;
use crate::workflow::fault::below;
use crate::workflow::step::Approval;
use crate::workflow::step::Work;

const DEFAULT_EXPIRY: Duration = Duration::from_secs(24 * 3_600);
const LONGEST_REASON: usize = 1_000;
/// Keys that any step that waits may have.
const OF_ALL: [&str; 4] = ["id", "needs", "when", "on_failure"];

/// The job of a step that waits; none: it is no such step.
pub fn wait(
    fields: &Map<String, Value>,
    pointer: &str,
    run_timeout: Duration,
    reader: &mut Reader,
) -> Option<Option<Job>> {
    let does_something = ["agent", "task", "tool", "playbook"].iter().any(|key| fields.contains_key(*key));
    let kinds = ["sleep", "wait_for"].into_iter().filter(|key| fields.contains_key(*key));
    let kind = match kinds.collect::<Vec<_>>().as_slice() {
        [] if fields.contains_key("approve") && !does_something => "approve",
        [] => return None,
        [kind] => *kind,
        [first, ..] => {
            reader.fault(below(pointer, first), "a step sleeps or waits for a signal, not both");
            return Some(None);
        }
    };
    let (what, of_kind): (_, &[&str]) = match kind {
        "sleep" => ("sleeps", &["sleep"]),
        "wait_for" => ("waits for a signal", &["wait_for", "timeout"]),
        _ => ("waits for a decision", &["approve"]),
    };
    for key in fields.keys().map(String::as_str).filter(|key| document::STEP.known.contains(key)) {
        if !OF_ALL.contains(&key) && !of_kind.contains(&key) {
            reader.fault(below(pointer, key), format!("a step that {what} has no `{key}`"));
        }
    }
    let value = &fields[kind];
    let pointer = below(pointer, kind);
    let work = match kind {
        "sleep" => reader.duration(value, &pointer).map(|time| Work::Sleep { time }),
        "wait_for" => reader.text(value, &pointer).and_then(|name| {
            SignalName::new(name)
                .map_err(|error| reader.fault(&pointer, error.to_string()))
                .ok()
                .map(|name| Work::Signal { name })
        }),
        _ => Some(Work::Gate {}),
    };
    Some(work.map(|work| Job { work, timeout: run_timeout }))
}

pub fn approval(value: &Value, pointer: &str, reader: &mut Reader) -> Option<Approval> {
    let fields = reader.object(value, pointer, document::APPROVE)?;
    // A viewer decides nothing.
    let roles = [Role::Operator, Role::Admin].map(|role| (role.as_str(), role));
    let role = fields.get("role").map(|value| reader.word(value, &below(pointer, "role"), &roles));
    let expires_pointer = below(pointer, "expires");
    let expires = fields.get("expires").map(|value| reader.duration(value, &expires_pointer));
    let reason_pointer = below(pointer, "reason");
    let reason = fields.get("reason").and_then(|value| reader.text(value, &reason_pointer));
    if reason.is_some_and(|reason| reason.len() > LONGEST_REASON) {
        reader.fault(&reason_pointer, format!("longer than {LONGEST_REASON} bytes"));
    }
    Some(Approval {
        role: role.unwrap_or(Some(Role::Operator))?,
        expires: expires.unwrap_or(Some(DEFAULT_EXPIRY))?,
        reason: reason.map(str::to_owned),
    })
}
