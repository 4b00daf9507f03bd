//! One entry of the audit log: who did what to which thing, how it ended. Never a secret, never a raw payload.
//!
//! The bytes that enter the Merkle tree are the canonical JSON of RFC 8785 (keys sorted, no white space); numbers are
//! integers only, so that every canonicaliser agrees.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{Digest, NodeId};

/// Its fields are in the order of the canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// An agent id, `token:<id>`, `supervisor:<path>` or `service`.
    pub actor: String,
    pub at: DateTime<Utc>,
    /// A sentence for people, free of host data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Number of this start of the service on its node.
    pub epoch: i64,
    pub node: NodeId,
    /// `run.accepted`, `step.done`, `run.finished`, `child.exited`, `service.started` ...
    pub op: String,
    /// `ok`, `degraded`, `failed` ... in the words of the operation.
    pub outcome: String,
    /// SHA-256 of the canonical JSON of the full record, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Digest>,
    /// The thing acted on: `run/<id>/step/<id>`, `agent/<id>` ...
    pub subject: String,
}

impl Entry {
    /// The leaf bytes.
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Canonical JSON of any value whose numbers are integers: `serde_json`'s map is sorted, its writer adds no space.
pub fn canonical(value: &impl Serialize) -> Vec<u8> {
    // Serialising a plain value into memory cannot fail; an empty leaf would be refused by every verifier.
    serde_json::to_value(value).and_then(|sorted| serde_json::to_vec(&sorted)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_is_sorted_and_without_white_space() {
        let entry = Entry {
            at: DateTime::from_timestamp_micros(1_700_000_000_000_001).expect("in range"),
            node: NodeId::new("n1").expect("valid"),
            epoch: 3,
            actor: "PACER".into(),
            op: "step.done".into(),
            subject: "run/1/step/a".into(),
            outcome: "ok".into(),
            payload: None,
            detail: None,
        };
        let full = Entry { payload: Some(Digest([7; 32])), detail: Some("\u{1}é".into()), ..entry.clone() };
        assert_eq!(full.canonical(), canonical(&full), "the fields are declared in another order");
        let text = String::from_utf8(entry.canonical()).expect("UTF-8");
        assert_eq!(
            text,
            r#"{"actor":"PACER","at":"2023-11-14T22:13:20.000001Z","epoch":3,"node":"n1","op":"step.done","outcome":"ok","subject":"run/1/step/a"}"#
        );
    }
}
