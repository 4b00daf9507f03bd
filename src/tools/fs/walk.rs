//! Walks trees on several threads and takes the facts of each file without following a link.
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
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
    let (sender, receiver) = mpsc::channel();
    builder.build_parallel().run(|| {
        let (sender, bytes) = (sender.clone(), &bytes);
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
    drop(sender);

    let mut walked = Walked { bytes: bytes.into_inner(), ..Walked::default() };
    for seen in receiver {
        match seen {
            Seen::Leaf(path, leaf) => walked.leaves.push((path, leaf)),
            Seen::Half(path, leaf, why) => {
                walked.leaves.push((path.clone(), leaf));
                walked.unread.push((path, why));
            }
            Seen::Unread(path, why) => walked.unread.push((path, why)),
        }
    }
    walked.unread.sort();
    walked
}

enum Seen {
    Leaf(PathBuf, Leaf),
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

fn hash_file(cx: &ToolCx, path: &Path, bytes: &AtomicU64) -> io::Result<Digest> {
    // The file may be exchanged for a link or a pipe after it was looked at: neither is followed, neither blocks.
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let mut file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut hasher = Sha256::new();
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
