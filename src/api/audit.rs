//! The audit log: entries, and its signed head.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::Digest;
use crate::toolkit::cx::Trust;

/// One entry. The bytes that were hashed are the canonical JSON (RFC 8785) of `entry`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    pub index: u64,
    /// RFC 6962: SHA-256 of a zero byte and the leaf.
    pub leaf_hash: Digest,
    pub entry: Value,
}

/// A stretch of the log; `next` is the `from` of the stretch after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entries {
    pub entries: Vec<AuditEntry>,
    pub next: Option<u64>,
}

/// The newest signed head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Head {
    pub size: u64,
    /// The root of the Merkle tree, as hexadecimal digits.
    pub root: Digest,
    /// The signed note, as on disk.
    pub note: String,
    /// What stands behind the signature; null while the TPM does not answer.
    pub trust: Option<Trust>,
    /// Vendor string of the TPM.
    pub tpm: Option<String>,
}
