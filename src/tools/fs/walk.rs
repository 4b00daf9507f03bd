//! Walks trees on several threads and takes the facts of each file without following a link.
//!
//! ```text
//! two threads walk and read -> small files whole, through a bounded channel -> batches -> the worker pool
//!                           `-> large files are hashed where they are read
//! ```
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use ignore::{DirEntry, WalkBuilder, WalkState};
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;
use crate::toolkit::cx::ToolCx;
use crate::tools::fs::tree::Leaf;

/// A disk serves two readers well; more only compete with the work of the host.
const THREADS: usize = 2;
const BLOCK: usize = 128 << 10;
/// A file of up to this size is read whole and hashed by the pool.
const SMALL: u64 = 64 << 10;
/// A small file may have grown since it was looked at, but not to this.
const MOST_GROWN: u64 = 1 << 30;
/// Files of `/proc` have no size at all, and some go on for hundreds of gigabytes.
const MOST_WITHOUT_SIZE: u64 = 64 << 20;
/// What goes to the pool at once, in files and in bytes.
const BATCH_FILES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// Files that were read and wait to be hashed.
const AHEAD: usize = 128;

/// What a walk gave.
#[derive(Debug, Default)]
pub struct Walked {
    pub leaves: Vec<(PathBuf, Leaf)>,
    /// Paths that could not be looked at or read, with the reason.
    pub unread: Vec<(PathBuf, String)>,
    pub bytes: u64,
}

/// Walks `roots` (existing paths), skipping what `excluded` says. Stops early when the step is cancelled or late;
/// the caller asks `cx.go_on()` afterwards.
pub fn walk(
    cx: &ToolCx,
    roots: &[PathBuf],
    excluded: impl Fn(&Path) -> bool + Sync + Send + Clone + 'static,
) -> Walked {
    let Some((first, rest)) = roots.split_first() else { return Walked::default() };
    let mut builder = WalkBuilder::new(first);
    for root in rest {
        builder.add(root);
    }
    let keep = move |entry: &DirEntry| !excluded(entry.path());
    builder.standard_filters(false).follow_links(false).threads(THREADS).filter_entry(keep);

    let bytes = AtomicU64::new(0);
    let (sender, receiver) = mpsc::sync_channel(AHEAD);
    let walker = builder.build_parallel();
    let gathered = std::thread::scope(|scope| {
        let bytes = &bytes;
        scope.spawn(move || {
            walker.run(|| {
                let sender = sender.clone();
                Box::new(move |entry| {
                    if cx.go_on().is_err() {
                        return WalkState::Quit;
                    }
                    let seen = match entry {
                        Ok(entry) => look(cx, entry.path(), bytes),
                        Err(error) => Seen::Unread(path_of(&error), error.to_string()),
                    };
                    // The receiver outlives the walk, so that this cannot fail; if it did, nobody would want the rest.
                    if sender.send(seen).is_err() { WalkState::Quit } else { WalkState::Continue }
                })
            });
        });
        gather(cx, receiver)
    });
    let mut walked = Walked { bytes: bytes.into_inner(), ..gathered };
    walked.unread.sort();
    walked
}

/// Puts together what the walk saw; the small files are hashed in batches while the walk goes on.
fn gather(cx: &ToolCx, receiver: mpsc::Receiver<Seen>) -> Walked {
    let mut walked = Walked::default();
    let (mut files, mut contents, mut size) = (Vec::new(), Vec::new(), 0);
    for seen in receiver {
        match seen {
            Seen::Leaf(path, leaf) => walked.leaves.push((path, leaf)),
            Seen::Small(path, leaf, content) => {
                size += content.len();
                files.push((path, leaf));
                contents.push(content);
                if files.len() >= BATCH_FILES || size >= BATCH_BYTES {
                    hash(cx, &mut files, &mut contents, &mut walked);
                    size = 0;
                }
            }
            Seen::Half(path, leaf, why) => {
                walked.leaves.push((path.clone(), leaf));
                walked.unread.push((path, why));
            }
            Seen::Unread(path, why) => walked.unread.push((path, why)),
        }
    }
    hash(cx, &mut files, &mut contents, &mut walked);
    walked
}

fn hash(cx: &ToolCx, files: &mut Vec<(PathBuf, Leaf)>, contents: &mut Vec<Vec<u8>>, walked: &mut Walked) {
    if files.is_empty() {
        return;
    }
    let digests = cx.hash.sha256(std::mem::take(contents));
    let hashed =
        files.drain(..).zip(digests).map(|((path, leaf), digest)| (path, Leaf { sha256: Some(digest), ..leaf }));
    walked.leaves.extend(hashed);
}

enum Seen {
    Leaf(PathBuf, Leaf),
    /// A file with its content, whose digest is still missing.
    Small(PathBuf, Leaf, Vec<u8>),
    /// There, but its content could not be read.
    Half(PathBuf, Leaf, String),
    Unread(PathBuf, String),
}

fn look(cx: &ToolCx, path: &Path, bytes: &AtomicU64) -> Seen {
    let owned = path.to_owned();
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) => return Seen::Unread(owned, error.to_string()),
    };
    let kind = meta.file_type();
    let mark = if kind.is_file() {
        'f'
    } else if kind.is_dir() {
        'd'
    } else if kind.is_symlink() {
        'l'
    } else {
        'o'
    };
    let leaf = |sha256| Leaf {
        kind: mark,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        size: meta.len(),
        sha256,
    };
    if mark == 'f' && meta.len() <= SMALL {
        return match read_small(cx, path, meta.len(), bytes) {
            Ok(Read::Whole(content)) => Seen::Small(owned, leaf(None), content),
            Ok(Read::Hashed(sum)) => Seen::Leaf(owned, leaf(Some(sum))),
            Err(error) => Seen::Half(owned, leaf(None), error.to_string()),
        };
    }
    let hashed = match mark {
        'f' => hash_file(cx, path, bytes).map(Some),
        'l' => std::fs::read_link(path)
            .map(|target| Some(Digest(Sha256::digest(target.as_os_str().as_encoded_bytes()).into()))),
        _ => Ok(None),
    };
    match hashed {
        Ok(sum) => Seen::Leaf(owned, leaf(sum)),
        Err(error) => Seen::Half(owned, leaf(None), error.to_string()),
    }
}

/// The file may be exchanged for a link or a pipe after it was looked at: neither is followed, neither blocks.
fn open(path: &Path) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// What was read of a file that was small when it was looked at.
#[derive(Debug, PartialEq)]
enum Read {
    Whole(Vec<u8>),
    /// It turned out larger, and was hashed where it was read: what waits for the pool is bounded in bytes, too.
    Hashed(Digest),
}

fn read_small(cx: &ToolCx, path: &Path, expected: u64, bytes: &AtomicU64) -> io::Result<Read> {
    let mut file = open(path)?;
    let mut content = Vec::with_capacity(usize::try_from(expected.min(SMALL)).unwrap_or_default() + 1);
    file.by_ref().take(SMALL + 1).read_to_end(&mut content)?;
    bytes.fetch_add(content.len() as u64, Ordering::Relaxed);
    if content.len() as u64 <= SMALL {
        return Ok(Read::Whole(content));
    }
    let most = if expected == 0 { MOST_WITHOUT_SIZE } else { MOST_GROWN };
    let mut rest = file.take(most - content.len() as u64);
    let sum = hash_rest(cx, &mut rest, Sha256::new_with_prefix(&content), bytes)?;
    if rest.limit() == 0 {
        return Err(io::Error::other(format!("it said that it has {expected} bytes, and gave more than {most}")));
    }
    Ok(Read::Hashed(sum))
}

fn hash_file(cx: &ToolCx, path: &Path, bytes: &AtomicU64) -> io::Result<Digest> {
    hash_rest(cx, &mut open(path)?, Sha256::new(), bytes)
}

/// The digest of what `hasher` has seen and all that follows in the file.
fn hash_rest(cx: &ToolCx, file: &mut impl io::Read, mut hasher: Sha256, bytes: &AtomicU64) -> io::Result<Digest> {
    let mut block = vec![0; BLOCK];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(Digest(hasher.finalize().into()));
        }
        hasher.update(&block[..read]);
        bytes.fetch_add(read as u64, Ordering::Relaxed);
        if cx.go_on().is_err() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the step ended before the file was read"));
        }
    }
}

fn path_of(error: &ignore::Error) -> PathBuf {
    match error {
        ignore::Error::WithPath { path, .. } => path.clone(),
        ignore::Error::WithDepth { err, .. } => path_of(err),
        _ => PathBuf::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn a_file_that_grew_is_hashed_where_it_is_read_and_none_of_it_is_missing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (cx, path) = (FixtureCx::at(dir.path()), dir.path().join("log"));
        let small = SMALL as usize;
        for (size, whole) in [(0, true), (1, true), (small, true), (small + 1, false), (17 << 20, false)] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &content).expect("written");
            let bytes = AtomicU64::new(0);
            // It was empty when it was looked at, as all files of `/proc` are.
            let read = read_small(&cx, &path, 0, &bytes).expect("read");
            assert_eq!(bytes.into_inner(), size as u64);
            let sum = Digest(Sha256::digest(&content).into());
            assert_eq!(read, if whole { Read::Whole(content) } else { Read::Hashed(sum) }, "{size} bytes");
        }
    }
}
