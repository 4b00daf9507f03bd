//! The manifest of a set of trees: one line per file, a digest over all lines, and the comparison of two manifests.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

/// What is known of one file without following links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// `f` file, `d` directory, `l` link, `o` other.
    pub kind: char,
    /// Permission bits, in octal when shown.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// SHA-256 of a file's bytes or of a link's target; null for directories, others and what could not be read.
    pub sha256: Option<Digest>,
}

/// Files by logical path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub roots: Vec<String>,
    pub entries: BTreeMap<String, Leaf>,
}

/// One file that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Change {
    pub path: String,
    /// Which of `kind`, `mode`, `owner`, `size`, `sha256` differ.
    pub attrs: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<Change>,
}

impl Manifest {
    /// SHA-256 over the lines `path NUL kind mode uid gid size sha256 LF`, sorted by path.
    pub fn root_hash(&self) -> Digest {
        let mut hasher = Sha256::new();
        let mut line = String::new();
        for (path, leaf) in &self.entries {
            line.clear();
            let sum = leaf.sha256.map(|digest| digest.to_string()).unwrap_or_default();
            let written =
                writeln!(line, "{path}\0{} {:o} {} {} {} {sum}", leaf.kind, leaf.mode, leaf.uid, leaf.gid, leaf.size);
            debug_assert!(written.is_ok(), "a String takes every line");
            hasher.update(line.as_bytes());
        }
        Digest(hasher.finalize().into())
    }

    /// What became of `self` in `now`. A digest that is missing on one side was not readable, which is no change.
    pub fn compare(&self, now: &Manifest) -> Difference {
        let mut difference = Difference::default();
        for (path, leaf) in &now.entries {
            match self.entries.get(path) {
                None => difference.added.push(path.clone()),
                Some(before) => {
                    let attrs = before.differs(leaf);
                    if !attrs.is_empty() {
                        difference.changed.push(Change { path: path.clone(), attrs });
                    }
                }
            }
        }
        difference.removed = self.entries.keys().filter(|path| !now.entries.contains_key(*path)).cloned().collect();
        difference
    }
}

impl Leaf {
    fn differs(&self, now: &Leaf) -> Vec<String> {
        // The size of a directory is a matter of its file system, not of its content.
        let sized = self.kind != 'd';
        let readable = self.sha256.is_some() && now.sha256.is_some();
        [
            ("kind", self.kind != now.kind),
            ("mode", self.mode != now.mode),
            ("owner", (self.uid, self.gid) != (now.uid, now.gid)),
            ("size", sized && self.size != now.size),
            ("sha256", readable && self.sha256 != now.sha256),
        ]
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name.to_owned())
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf(kind: char, mode: u32, size: u64, sum: Option<u8>) -> Leaf {
        Leaf { kind, mode, uid: 0, gid: 0, size, sha256: sum.map(|byte| Digest([byte; 32])) }
    }

    fn manifest(entries: &[(&str, Leaf)]) -> Manifest {
        let entries = entries.iter().map(|(path, leaf)| ((*path).to_owned(), leaf.clone())).collect();
        Manifest { roots: vec!["/etc".to_owned()], entries }
    }

    #[test]
    fn a_comparison_names_what_was_added_removed_and_changed() {
        let before = manifest(&[("/etc/a", leaf('f', 0o644, 1, Some(1))), ("/etc/b", leaf('f', 0o644, 1, Some(1)))]);
        let now = manifest(&[("/etc/a", leaf('f', 0o600, 2, Some(2))), ("/etc/c", leaf('f', 0o644, 1, Some(1)))]);
        let found = before.compare(&now);
        assert_eq!((found.added, found.removed), (vec!["/etc/c".to_owned()], vec!["/etc/b".to_owned()]));
        let attrs = ["mode", "size", "sha256"].map(str::to_owned).to_vec();
        assert_eq!(found.changed, [Change { path: "/etc/a".to_owned(), attrs }]);
    }

    #[test]
    fn what_could_not_be_read_is_no_change() {
        let before = manifest(&[("/etc/shadow", leaf('f', 0o640, 9, None))]);
        let now = manifest(&[("/etc/shadow", leaf('f', 0o640, 9, Some(4)))]);
        assert_eq!(before.compare(&now), Difference::default());
    }

    #[test]
    fn a_directory_may_change_its_size() {
        let before = manifest(&[("/etc", leaf('d', 0o755, 4096, None))]);
        let now = manifest(&[("/etc", leaf('d', 0o755, 8192, None))]);
        assert_eq!(before.compare(&now), Difference::default());
    }

    fn any_manifest() -> impl Strategy<Value = Manifest> {
        let leaf = (prop::sample::select(vec!['f', 'l']), 0..2_u32, 0..3_u64, 0..3_u8)
            .prop_map(|(kind, mode, size, sum)| leaf(kind, mode, size, Some(sum)));
        prop::collection::btree_map("/[abc]{1,2}", leaf, 0..6)
            .prop_map(|entries| Manifest { roots: Vec::new(), entries })
    }

    proptest! {
        #[test]
        fn manifests_have_one_root_hash_exactly_if_nothing_differs(before in any_manifest(), now in any_manifest()) {
            let same = before.compare(&now) == Difference::default();
            prop_assert_eq!(same, before.root_hash() == now.root_hash());
        }
    }
}
