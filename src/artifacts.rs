//! Files a run leaves behind: content-addressed, so that an id proves what it names.
//!
//! `<dir>/<first two hex digits>/<sha256>.<extension>`; written beside its place, synced, then renamed.
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::ids::Digest;
use crate::toolkit::cx::{Artifact, Artifacts, NotAvailable};

/// The longest artifact that is read back: a damaged store must not fill the memory.
const LARGEST: u64 = 256 << 20;

/// A directory of artifacts.
#[derive(Debug, Clone)]
pub struct ArtifactDir {
    dir: PathBuf,
}

impl ArtifactDir {
    pub fn new(dir: PathBuf) -> Self {
        ArtifactDir { dir }
    }

    fn folder(&self, digest: &Digest) -> PathBuf {
        self.dir.join(&digest.to_string()[..2])
    }

    fn find(&self, digest: &Digest) -> std::io::Result<Option<PathBuf>> {
        let name = digest.to_string();
        let entries = match fs::read_dir(self.folder(digest)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.file_stem().is_some_and(|stem| stem == name.as_str())
                && path.extension().is_none_or(|e| e != "part")
            {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn unavailable(&self, error: &std::io::Error) -> NotAvailable {
        NotAvailable { facility: "artifact store".to_owned(), detail: format!("{}: {error}", self.dir.display()) }
    }
}

impl Artifacts for ArtifactDir {
    fn put(&self, bytes: &[u8], extension: &str) -> Result<Artifact, NotAvailable> {
        let digest = Digest(Sha256::digest(bytes).into());
        let stored = self.find(&digest).and_then(|found| match found {
            Some(path) => Ok(path),
            None => write(&self.folder(&digest), &format!("{digest}.{extension}"), bytes),
        });
        let path = stored.map_err(|error| self.unavailable(&error))?;
        Ok(Artifact {
            id: format!("sha256:{digest}"),
            sha256: digest,
            path: path.display().to_string(),
            bytes: bytes.len() as u64,
        })
    }

    fn get(&self, id: &str) -> Result<Option<Vec<u8>>, NotAvailable> {
        let Some(digest) = id.strip_prefix("sha256:").and_then(|text| text.parse::<Digest>().ok()) else {
            return Ok(None);
        };
        let read = || -> std::io::Result<Option<Vec<u8>>> {
            let Some(path) = self.find(&digest)? else { return Ok(None) };
            if fs::metadata(&path)?.len() > LARGEST {
                return Err(std::io::Error::other(format!("{} is larger than {LARGEST} bytes", path.display())));
            }
            let bytes = fs::read(&path)?;
            if Sha256::digest(&bytes)[..] != digest.0 {
                return Err(std::io::Error::other(format!("{} does not hold what its name says", path.display())));
            }
            Ok(Some(bytes))
        };
        read().map_err(|error| self.unavailable(&error))
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(name);
    // Two writers of one content may meet; each has a file of its own until the rename.
    let part = folder.join(format!("{name}.{:?}.part", std::thread::current().id()));
    let mut file = fs::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, &path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_can_be_got_by_its_id() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = ArtifactDir::new(dir.path().join("artifacts"));
        let kept = store.put(b"report", "md").expect("put");
        assert_eq!(store.put(b"report", "md").expect("put again"), kept);
        assert_eq!(store.get(&kept.id).expect("get"), Some(b"report".to_vec()));
        assert_eq!(store.get("sha256:00").expect("bad id"), None);
        assert_eq!(store.get(&format!("sha256:{}", Digest([0; 32]))).expect("absent"), None);
    }

    #[test]
    fn a_damaged_artifact_is_not_returned() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = ArtifactDir::new(dir.path().to_owned());
        let kept = store.put(b"report", "md").expect("put");
        fs::write(&kept.path, b"altered").expect("write");
        assert!(store.get(&kept.id).is_err());
    }
}
