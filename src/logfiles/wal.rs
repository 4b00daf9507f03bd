//! A file that audit entries wait in while the database cannot be reached: one line each, the SHA-256 of the record
//! and the record in JSON. An entry is durable when `append` returns.
//!
//! A line broken at the end of the file was never acknowledged and is cut off. A line broken anywhere else is damage:
//! the file is kept aside for people, and the good lines are taken over.
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

use crate::audit::entry::Entry;

/// An entry that waits for the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// If the database has it already, because an answer was lost, then at this index or after.
    pub since: u64,
    pub entry: Entry,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", path.display())]
pub struct WalError {
    pub path: PathBuf,
    #[source]
    pub cause: io::Error,
}

#[derive(Debug)]
pub struct Wal {
    path: PathBuf,
    file: File,
    length: u64,
}

/// What an earlier start left.
#[derive(Debug)]
pub struct Left {
    pub waiting: Vec<Waiting>,
    /// Where the file was put that had damaged lines.
    pub damaged: Option<PathBuf>,
}

impl Wal {
    pub fn open(path: &Path) -> Result<(Self, Left), WalError> {
        let fail = |cause| WalError { path: path.to_owned(), cause };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(fail)?;
        }
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(fail(cause)),
        };
        let Contents { waiting, good_until, damaged } = parse(&bytes);
        let aside = if damaged { Some(put_aside(path).map_err(fail)?) } else { None };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(fail)?;
        // The name of a new file is as durable as what is in it.
        if let Some(directory) = path.parent() {
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(fail)?;
        }
        let mut wal = Wal { path: path.to_owned(), file, length: 0 };
        if damaged {
            wal.append(&waiting)?;
        } else {
            wal.cut(good_until)?;
        }
        Ok((wal, Left { waiting, damaged: aside }))
    }

    /// Adds entries; either all are kept or none.
    pub fn append(&mut self, waiting: &[Waiting]) -> Result<(), WalError> {
        let mut lines = Vec::new();
        for record in waiting {
            let json = serde_json::to_vec(record).map_err(|error| self.fail(error.into()))?;
            lines.extend(hex::encode(Sha256::digest(&json)).into_bytes());
            lines.push(b' ');
            lines.extend(json);
            lines.push(b'\n');
        }
        if let Err(cause) = self.file.write_all(&lines).and_then(|()| self.file.sync_data()) {
            // Half a line would hide those that come after it.
            self.cut(self.length)?;
            return Err(self.fail(cause));
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// The same file, for use on another thread while this one stands still.
    pub fn try_clone(&self) -> Result<Self, WalError> {
        let file = self.file.try_clone().map_err(|cause| self.fail(cause))?;
        Ok(Wal { path: self.path.clone(), file, length: self.length })
    }

    /// Forgets all entries: the database has them.
    pub fn clear(&mut self) -> Result<(), WalError> {
        self.cut(0)
    }

    fn cut(&mut self, length: u64) -> Result<(), WalError> {
        self.file.set_len(length).and_then(|()| self.file.sync_all()).map_err(|cause| self.fail(cause))?;
        self.length = length;
        Ok(())
    }

    fn fail(&self, cause: io::Error) -> WalError {
        WalError { path: self.path.clone(), cause }
    }
}

struct Contents {
    waiting: Vec<Waiting>,
    good_until: u64,
    damaged: bool,
}

fn parse(bytes: &[u8]) -> Contents {
    let mut contents = Contents { waiting: Vec::new(), good_until: 0, damaged: false };
    let mut at = 0;
    let mut broken = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len() as u64;
        match record(line) {
            Some(waiting) => {
                contents.damaged |= broken;
                contents.waiting.push(waiting);
                contents.good_until = at;
            }
            // Whole but wrong: a torn write leaves no line end behind it.
            None => {
                broken = true;
                contents.damaged |= line.ends_with(b"\n");
            }
        }
    }
    contents
}

fn record(line: &[u8]) -> Option<Waiting> {
    let (hash, json) = line.strip_suffix(b"\n")?.split_at_checked(65)?;
    let hash = hex::decode(hash.strip_suffix(b" ")?).ok()?;
    (hash == Sha256::digest(json).as_slice()).then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Renames the file to the first free `<name>.damaged-<n>`.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    for n in 1u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{n}"));
        let aside = PathBuf::from(name);
        if !aside.exists() {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::Error::other("no name is free for the damaged file"))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::ids::NodeId;

    fn waiting(n: u64) -> Waiting {
        let entry = Entry {
            at: DateTime::from_timestamp_micros(1_700_000_000_000_000 + n as i64).expect("in range"),
            node: NodeId::new("n1").expect("valid"),
            epoch: 1,
            actor: "service".into(),
            op: "child.exited".into(),
            subject: format!("agent/{n}"),
            outcome: "ok".into(),
            payload: None,
            detail: None,
        };
        Waiting { since: n, entry }
    }

    fn three(path: &Path) -> Vec<u8> {
        let (mut wal, left) = Wal::open(path).expect("opened");
        assert!(left.waiting.is_empty());
        wal.append(&[waiting(0)]).expect("kept");
        wal.append(&[waiting(1), waiting(2)]).expect("kept");
        fs::read(path).expect("readable")
    }

    #[test]
    fn entries_wait_over_a_restart_until_they_are_cleared() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit/wal");
        three(&path);
        let (mut wal, left) = Wal::open(&path).expect("opened");
        assert_eq!((left.waiting, left.damaged), ((0..3).map(waiting).collect(), None));
        wal.clear().expect("cleared");
        wal.append(&[waiting(9)]).expect("kept");
        assert_eq!(Wal::open(&path).expect("opened").1.waiting, [waiting(9)]);
    }

    #[test]
    fn a_line_torn_anywhere_at_the_end_is_cut_off() {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes = three(&dir.path().join("whole"));
        let second_ends =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).expect("three lines").0 + 1;
        let path = dir.path().join("torn");
        for length in second_ends..bytes.len() {
            fs::write(&path, &bytes[..length]).expect("written");
            let (mut wal, left) = Wal::open(&path).expect("opened");
            assert_eq!((left.waiting, left.damaged), (vec![waiting(0), waiting(1)], None), "at {length}");
            wal.append(&[waiting(7)]).expect("kept");
            assert_eq!(Wal::open(&path).expect("opened").1.waiting, [waiting(0), waiting(1), waiting(7)]);
        }
    }

    #[test]
    fn a_damaged_line_is_kept_aside_and_the_others_are_taken_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wal");
        let mut bytes = three(&path);
        bytes[80] ^= 1;
        fs::write(&path, &bytes).expect("written");
        let (_, left) = Wal::open(&path).expect("opened");
        assert_eq!(left.waiting, [waiting(1), waiting(2)]);
        assert_eq!(fs::read(left.damaged.expect("kept aside")).expect("readable"), bytes);
        assert_eq!(Wal::open(&path).expect("opened").1.waiting, [waiting(1), waiting(2)]);
    }
}
