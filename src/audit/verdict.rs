//! What the offline check of a log found.
use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use crate::ids::Digest;

/// The result of a check. The log is good if there is no fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Of the head; empty if there is none.
    pub origin: String,
    /// Entries the head claims.
    pub size: u64,
    pub root: Option<Digest>,
    /// `name+id` of the key asked for.
    pub key: String,
    /// Entries whose bytes were hashed.
    pub checked: u64,
    /// Size of the pinned checkpoint, if one was given.
    pub pinned: Option<u64>,
    pub faults: Vec<Fault>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: FaultKind,
    /// First entry that is bad, where that can be known.
    pub first: Option<u64>,
    /// Last entry of the range in which the bad ones are, where only the range can be known.
    pub last: Option<u64>,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// There is no head, or it cannot be read.
    Head,
    /// The head is not signed by the key asked for.
    Signature,
    /// Entries that the head covers are not there.
    Missing,
    /// An entry is not the one that was signed.
    Entry,
    /// The entries are good, a hash tile is not.
    Tile,
    /// Entries and tiles agree with each other, but not with the head.
    Root,
    /// The log does not continue the pinned checkpoint.
    Pin,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// The first bad index that any fault names.
    pub fn first_bad(&self) -> Option<u64> {
        self.faults.iter().filter_map(|fault| fault.first).min()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_good() {
            write!(f, "good: {} entries of `{}`, head signed by {}", self.size, self.origin, self.key)?;
            return match self.pinned {
                Some(size) => write!(f, ", continues the pinned checkpoint of {size} entries"),
                None => Ok(()),
            };
        }
        match self.first_bad() {
            Some(index) => write!(f, "BAD from entry {index} of `{}`", self.origin)?,
            None => write!(f, "BAD log `{}`", self.origin)?,
        }
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some(last)) if last > first => write!(f, "entries {first} to {last}: ")?,
            (Some(first), _) => write!(f, "entry {first}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.detail)
    }
}
