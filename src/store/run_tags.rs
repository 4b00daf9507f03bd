//! Tags: the agents and labels that runs are found by, each as the first half of a SHA-256.
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::ids::AgentId;

pub fn of_agent(agent: &AgentId) -> Uuid {
    tag("agent", agent.as_str())
}

/// Of `key:value`.
pub fn of_label(label: &str) -> Uuid {
    // As labels are stored: PostgreSQL's text has no U+0000.
    tag("label", &label.replace('\0', "\u{2400}"))
}

pub(super) fn of_labels(labels: &Value) -> impl Iterator<Item = Uuid> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    labels.as_object().into_iter().flatten().map(move |(key, value)| of_label(&format!("{key}:{}", text(value))))
}

/// The migration that made the table says the same in SQL.
fn tag(kind: &str, text: &str) -> Uuid {
    let hash = Sha256::new().chain_update(kind).chain_update([0]).chain_update(text).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(half)
}
