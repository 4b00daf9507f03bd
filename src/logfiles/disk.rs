//! A directory with a log in it: `checkpoint`, `tile/...`, and beside them `vkey` and `verifier.pem` for offline use.
//!
//! A file appears under its name only when it is whole: it is written under a temporary name, flushed and renamed. The
//! directories that changed are flushed before the head is replaced, and the head last; so a head on disk never
//! covers a tile that is not there, not even after a loss of power. A file that is there is never written again.
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use crate::audit::growth::NewFile;
use crate::audit::note::NoteError;
use crate::audit::note::NoteKey;
use crate::audit::source::LogSource;
use crate::audit::source::SourceError;
use crate::audit::tile::TilePath;
use crate::audit::verdict::Verdict;
use crate::audit::verify::VerifyError;
use crate::audit::verify::verify;

const CHECKPOINT: &str = "checkpoint";

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{} is already there with other content: the log on disk does not continue as the database has it", path.display())]
    Differs { path: PathBuf },
    #[error("the verifier key cannot be written down")]
    Key(#[from] NoteError),
}

/// The check of a log on disk could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyDirError {
    #[error("{} is no directory", path.display())]
    NoDirectory { path: PathBuf },
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Checks the log in `dir` against a key file (a vkey line or PEM) and, if given, a checkpoint kept from earlier.
pub fn verify_dir(dir: &Path, key: &Path, pin: Option<&Path>) -> Result<Verdict, VerifyDirError> {
    let text =
        |path: &Path| fs::read_to_string(path).map_err(|cause| VerifyDirError::Read { path: path.to_owned(), cause });
    if !dir.is_dir() {
        return Err(VerifyDirError::NoDirectory { path: dir.to_owned() });
    }
    let pin = pin.map(text).transpose()?;
    Ok(verify(&LogDir::at(dir), &text(key)?, pin.as_deref())?)
}

/// A log's directory.
#[derive(Debug, Clone)]
pub struct LogDir {
    root: PathBuf,
}

impl LogDir {
    /// For reading: makes nothing.
    pub fn at(root: &Path) -> Self {
        LogDir { root: root.to_owned() }
    }

    /// For writing: makes the directory.
    pub fn open(root: &Path) -> Result<Self, DiskError> {
        fs::create_dir_all(root).map_err(|cause| DiskError::Write { path: root.to_owned(), cause })?;
        Ok(LogDir::at(root))
    }

    /// Adds files; they are durable when this returns. One that is there already must have the same content: it was
    /// left by a start that ended before it could sign.
    pub fn add(&self, files: &[NewFile]) -> Result<(), DiskError> {
        let mut changed = BTreeSet::new();
        for file in files {
            let path = self.root.join(file.path.to_string());
            match fs::read(&path) {
                Ok(bytes) if bytes == file.bytes => continue,
                Ok(_) => return Err(DiskError::Differs { path }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(DiskError::Write { path, cause }),
            }
            self.put(&path, &file.bytes, &mut changed)?;
        }
        flush(&changed)
    }

    /// Replaces the head. Its files must have been added before.
    pub fn publish(&self, note: &str) -> Result<(), DiskError> {
        let mut changed = BTreeSet::new();
        self.put(&self.root.join(CHECKPOINT), note.as_bytes(), &mut changed)?;
        flush(&changed)
    }

    /// Removes the partial forms of tiles that are full: nobody needs them once a head covers the full ones.
    pub fn drop_partials(&self, full: &[TilePath]) -> Result<(), DiskError> {
        for tile in full {
            let path = self.root.join(format!("{tile}.p"));
            match fs::remove_dir_all(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(DiskError::Write { path, cause }),
            }
        }
        Ok(())
    }

    /// Writes the verifier key in both its forms.
    pub fn write_key(&self, key: &NoteKey) -> Result<(), DiskError> {
        let mut changed = BTreeSet::new();
        self.put(&self.root.join("vkey"), format!("{}\n", key.vkey()).as_bytes(), &mut changed)?;
        self.put(&self.root.join("verifier.pem"), key.pem()?.as_bytes(), &mut changed)?;
        flush(&changed)
    }

    fn put(&self, path: &Path, bytes: &[u8], changed: &mut BTreeSet<PathBuf>) -> Result<(), DiskError> {
        let fail = |cause| DiskError::Write { path: path.to_owned(), cause };
        let directory = path.parent().unwrap_or(&self.root);
        changed.insert(directory.to_owned());
        // A new directory is an entry of the one above it; one that was there is durable already.
        for above in directory.ancestors().take_while(|above| above.starts_with(&self.root) && !above.exists()) {
            changed.extend(above.parent().map(Path::to_owned));
        }
        fs::create_dir_all(directory).map_err(fail)?;
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let mut file = File::create(&fresh).map_err(fail)?;
        file.write_all(bytes).map_err(fail)?;
        file.sync_data().map_err(fail)?;
        fs::rename(&fresh, path).map_err(fail)
    }
}

impl LogSource for LogDir {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        // Only names of the log lead to a file, so that no request can climb out of the directory.
        if path != CHECKPOINT && path.parse::<TilePath>().is_err() {
            return Ok(None);
        }
        match fs::read(self.root.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(cause) => Err(SourceError { path: path.to_owned(), cause }),
        }
    }
}

fn flush(directories: &BTreeSet<PathBuf>) -> Result<(), DiskError> {
    for path in directories {
        let flushed = File::open(path).and_then(|directory| directory.sync_all());
        flushed.map_err(|cause| DiskError::Write { path: path.clone(), cause })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::growth::Growth;

    fn entries(n: usize) -> Vec<Vec<u8>> {
        (0..n).map(|i| format!(r#"{{"n":{i}}}"#).into_bytes()).collect()
    }

    #[test]
    fn a_log_is_taken_up_from_disk_where_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, mut growth) = (LogDir::open(&dir.path().join("log")).expect("made"), Growth::default());
        let entries = entries(300);
        for batch in [&entries[..10], &entries[10..256], &entries[256..]] {
            let files = growth.append(batch).expect("short entries");
            log.add(&files).expect("added");
            let full: Vec<TilePath> = files.iter().map(|file| file.path).filter(TilePath::is_full).collect();
            log.drop_partials(&full).expect("dropped");
        }
        let again = Growth::load(&log, 300).expect("whole");
        assert_eq!((again.size(), again.root()), (300, growth.root()));
        assert!(!dir.path().join("log/tile/0/000.p").exists(), "partial tiles go when the full one is there");
    }

    #[test]
    fn a_file_that_is_there_is_never_written_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = LogDir::open(dir.path()).expect("made");
        let files = Growth::default().append(&entries(3)).expect("short entries");
        log.add(&files).expect("added");
        log.add(&files).expect("the same again is no harm");
        let mut other = entries(3);
        other[1] = b"{}".to_vec();
        let others = Growth::default().append(&other).expect("short entries");
        assert!(matches!(log.add(&others), Err(DiskError::Differs { .. })));
        assert_eq!(log.read("tile/0/000.p/3").expect("readable"), Some(files[1].bytes.clone()));
    }

    #[test]
    fn no_name_climbs_out_of_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("secret"), b"secret").expect("written");
        let log = LogDir::open(&dir.path().join("log")).expect("made");
        for path in ["../secret", "tile/../../secret", "tile/0/../../../secret", "/etc/passwd", "vkey", ""] {
            assert_eq!(log.read(path).expect("no error"), None, "{path}");
        }
    }
}
