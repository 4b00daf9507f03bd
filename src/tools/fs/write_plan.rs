//! What `fs.write` keeps of a call: the file before, the file after, and what is made on the way. The contents are in
//! the undo store.
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::Digest;
use crate::tools::fs::refused::Refused;
use crate::tools::fs::state::{FileState, Look};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WritePlan {
    /// The root as it was configured when the plan was made.
    pub root: PathBuf,
    /// From the root.
    pub path: String,
    /// None: the file was absent.
    pub before: Option<FileState>,
    pub after: After,
    /// Directories that were missing, from the root, each after those it is in.
    pub made_dirs: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    pub sha256: Digest,
    pub bytes: u64,
    pub mode: u32,
}

impl WritePlan {
    pub fn parse(plan: &Value) -> Result<Self, Refused> {
        WritePlan::deserialize(plan).map_err(|error| Refused::BadPlan { detail: error.to_string() })
    }

    pub fn is_before(&self, now: Option<&FileState>) -> bool {
        match (&self.before, now) {
            (None, None) => true,
            (Some(before), Some(now)) => before.same(now),
            _ => false,
        }
    }

    /// Owner and attributes of a replaced file are kept; those of a new one are what the host gives.
    pub fn is_after(&self, now: &FileState) -> bool {
        let kept = |before: &FileState| {
            (before.uid, before.gid) == (now.uid, now.gid)
                && FileState::own_xattrs(&before.xattrs) == FileState::own_xattrs(&now.xattrs)
        };
        (now.sha256, now.mode) == (self.after.sha256, self.after.mode) && self.before.as_ref().is_none_or(kept)
    }

    /// The file is already what it is to become.
    pub fn changes_nothing(&self) -> bool {
        self.before.as_ref().is_some_and(|before| self.is_after(before))
    }

    pub fn new_look<'a>(&'a self, none: &'a BTreeMap<String, String>) -> Look<'a> {
        let before = self.before.as_ref();
        Look {
            mode: self.after.mode,
            owner: before.map(|before| (before.uid, before.gid)),
            xattrs: before.map_or(none, |before| &before.xattrs),
            mtime: None,
        }
    }

    pub fn before_sha256(&self) -> String {
        self.before.as_ref().map_or_else(|| ABSENT.to_owned(), |before| before.sha256.to_string())
    }
}

/// Instead of a digest: there is no such file.
pub const ABSENT: &str = "absent";

/// What a file is, for messages.
pub fn describe(now: Option<&FileState>) -> String {
    match now {
        None => "it is absent".to_owned(),
        Some(now) => format!(
            "it has {} bytes, mode {:04o}, owner {}:{}, sha256 {}",
            now.bytes, now.mode, now.uid, now.gid, now.sha256
        ),
    }
}
