//! What undoes the changes of files: the contents before and after, each under its SHA-256. Kept until somebody clears
//! it away; unlike artifacts nobody is shown them, since a replaced file may hold secrets.
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::ids::Digest;
use crate::tools::evidence::sha256;

/// A content that is being written; the lock lets only one be written at a time, so that a crash leaves at most one.
const PART: &str = "new.part";

/// A directory of contents.
#[derive(Debug, Clone)]
pub struct UndoStore {
    dir: PathBuf,
}

impl UndoStore {
    pub fn new(dir: &Path) -> Self {
        UndoStore { dir: dir.to_owned() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a content: on disk under its final name when this returns.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<Digest> {
        self.make_dir()?;
        let dir = File::open(&self.dir)?;
        rustix::fs::flock(&dir, FlockOperation::LockExclusive)?;
        let digest = sha256(bytes);
        if self.get(&digest).is_err() {
            let part = self.dir.join(PART);
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&part, self.place(&digest))?;
        }
        // Also where it was there already: whoever wrote it may have died before this.
        dir.sync_all()?;
        Ok(digest)
    }

    /// A content that was kept, unless it was damaged since.
    pub fn get(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.place(digest))?.read_to_end(&mut bytes)?;
        if sha256(&bytes) != *digest {
            return Err(io::Error::other(format!("{} does not hold what its name says", self.place(digest).display())));
        }
        Ok(bytes)
    }

    pub fn has(&self, digest: &Digest) -> bool {
        self.place(digest).is_file()
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    fn make_dir(&self) -> io::Result<()> {
        if self.dir.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        match self.dir.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_content_is_kept_once_and_for_its_owner_only() {
        let temp = tempfile::tempdir().expect("a temp dir");
        let store = UndoStore::new(&temp.path().join("data/undo"));
        let digest = store.keep(b"before").expect("kept");
        assert_eq!(store.keep(b"before").expect("kept again"), digest);
        assert_eq!(store.get(&digest).expect("read"), b"before");
        assert!(store.has(&digest) && !store.has(&Digest([0; 32])));
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!((mode(store.dir()), mode(&store.place(&digest))), (0o700, 0o600));
        assert_eq!(fs::read_dir(store.dir()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_damaged_content_is_told_and_replaced() {
        let temp = tempfile::tempdir().expect("a temp dir");
        let store = UndoStore::new(temp.path());
        let digest = store.keep(b"before").expect("kept");
        fs::write(store.place(&digest), b"befor").expect("damaged");
        fs::write(temp.path().join(PART), b"of a crash").expect("litter");
        assert!(store.get(&digest).is_err());
        store.keep(b"before").expect("kept anew");
        assert_eq!(store.get(&digest).expect("read"), b"before");
        assert_eq!(fs::read_dir(temp.path()).expect("a directory").count(), 1);
    }
}
