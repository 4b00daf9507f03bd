//! One evidence record for many small files, as sysfs has them.
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::ids::Digest;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Evidence;
use crate::tools::evidence;
use crate::tools::evidence::Entry;
use crate::tools::evidence::Raw;
use crate::tools::evidence::Started;
use crate::tools::evidence::Unread;

/// Reads many files below a directory. The digest is over path, NUL, length (8 bytes, big-endian) and bytes of each file
/// in the order of reading; of a listing the bytes are the names, one a line.
pub struct Bundle {
    source: String,
    started: Started,
    hash: Sha256,
    files: u64,
    bytes: u64,
    truncated: bool,
}

impl Bundle {
    /// The cap of one file: an attribute of sysfs has at most a page, unit files and the like stay below this.
    pub const FILE_CAP: usize = 64 << 10;

    /// `source` is the directory or pattern that the record will name.
    pub fn new(cx: &ToolCx, source: impl Into<String>) -> Self {
        let started = Started::now(cx);
        Bundle { source: source.into(), started, hash: Sha256::new(), files: 0, bytes: 0, truncated: false }
    }

    /// A file without surrounding white space.
    pub fn trimmed(&mut self, path: &Path) -> Result<String, Unread> {
        self.text(path).map(|text| text.trim().to_owned())
    }

    pub fn text(&mut self, path: &Path) -> Result<String, Unread> {
        self.bytes(path, Self::FILE_CAP).map(|raw| String::from_utf8_lossy(&raw.bytes).into_owned())
    }

    pub fn bytes(&mut self, path: &Path, cap: usize) -> Result<Raw, Unread> {
        let raw = evidence::read_capped(path, cap)?;
        self.add(path, &raw.bytes);
        self.truncated |= raw.truncated;
        Ok(raw)
    }

    pub fn list(&mut self, path: &Path) -> Result<Vec<Entry>, Unread> {
        let entries = evidence::list_dir(path)?;
        self.add(path, evidence::names_of(&entries).as_bytes());
        Ok(entries)
    }

    /// The last part of what a symbolic link names, as sysfs tells a driver or a group.
    pub fn link_name(&mut self, path: &Path) -> Result<String, Unread> {
        let target = std::fs::read_link(path).map_err(|error| Unread::from_io(path, &error))?;
        let text = target.to_string_lossy();
        self.add(path, text.as_bytes());
        Ok(target.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()))
    }

    /// How many files, listings and links were read.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// The record, or none when nothing was read. Hand it to `Reader::push`.
    pub fn into_evidence(self, cx: &ToolCx) -> Option<Evidence> {
        if self.files == 0 {
            return None;
        }
        let source = format!("{} ({} files)", self.source, self.files);
        let digest = Digest(self.hash.finalize().into());
        Some(self.started.evidence(cx, source, digest, self.bytes, self.truncated))
    }

    fn add(&mut self, path: &Path, bytes: &[u8]) {
        self.hash.update(path.as_os_str().as_encoded_bytes());
        self.hash.update([0]);
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
        self.files += 1;
        self.bytes += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    fn digest_of(files: &[(&str, &str)]) -> Evidence {
        let dir = tempfile::tempdir().expect("a temp dir");
        let cx = FixtureCx::empty();
        let mut bundle = Bundle::new(&cx, "x");
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("write");
            bundle.text(&path).expect("read");
        }
        bundle.into_evidence(&cx).expect("something was read")
    }

    #[test]
    fn one_record_stands_for_many_files() {
        let record = digest_of(&[("a", "12"), ("b", "3")]);
        assert_eq!(record.source, "x (2 files)");
        assert_eq!(record.bytes, 3);
        assert_ne!(record.sha256, digest_of(&[("a", "1"), ("b", "23")]).sha256, "boundaries count");
    }

    #[test]
    fn nothing_read_is_no_evidence() {
        let cx = FixtureCx::empty();
        let mut bundle = Bundle::new(&cx, "x");
        assert!(bundle.text(Path::new("/nonexistent/file")).is_err());
        assert_eq!(bundle.into_evidence(&cx), None);
    }
}
