//! Reads the host for a tool: every byte it gives is capped, hashed and kept as evidence; what it could not read is kept
//! as a gap with the reason.
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Evidence;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::tools::program;
use crate::tools::program::Program;
use crate::tools::program::Ran;
use crate::tools::schema::Report;

/// Enough for the large texts of /proc on a machine with hundreds of cores.
pub const DEFAULT_CAP: usize = 4 << 20;

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error("{what} does not exist on this host")]
    Missing { what: String },
    #[error("this process may not read {what}")]
    NotPermitted { what: String },
    #[error("{what} could not be read: {why}")]
    Io { what: String, why: String },
    #[error("{what} does not have the expected form: {why}")]
    Malformed { what: String, why: String },
}

impl Unread {
    pub fn from_io(path: &Path, error: &io::Error) -> Self {
        let what = path.display().to_string();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unread::Missing { what },
            io::ErrorKind::PermissionDenied => Unread::NotPermitted { what },
            _ => Unread::Io { what, why: error.to_string() },
        }
    }

    pub fn reason(&self) -> Reason {
        let (code, what) = match self {
            Unread::Missing { what } => ("no_facility", what),
            Unread::NotPermitted { what } => ("no_privilege", what),
            Unread::Io { what, .. } => ("io", what),
            Unread::Malformed { what, .. } => ("malformed", what),
        };
        Reason::new(code, what, self.to_string())
    }
}

/// A part of the result that is missing, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Gap {
    /// The key of the result.
    pub field: String,
    pub code: String,
    pub facility: String,
    pub detail: String,
}

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub path: PathBuf,
    pub is_dir: bool,
    pub is_link: bool,
}

/// The bytes of one file, at most `cap` of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    pub bytes: Vec<u8>,
    pub truncated: bool,
}

/// Collects what a tool read and what it could not read.
pub struct Reader<'a> {
    pub cx: &'a ToolCx,
    evidence: Vec<Evidence>,
    gaps: Vec<Gap>,
}

/// When a piece of evidence was begun.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    instant: Instant,
    wall: DateTime<Utc>,
}

impl Started {
    pub fn now(cx: &ToolCx) -> Self {
        Started { instant: cx.time.now(), wall: cx.time.wall() }
    }

    /// The record of something that began then and ends now.
    pub fn evidence(self, cx: &ToolCx, source: String, sha256: Digest, bytes: u64, truncated: bool) -> Evidence {
        let spent = cx.time.now().saturating_duration_since(self.instant);
        let duration_ms = spent.as_secs_f64() * 1e3;
        Evidence { source, sha256, bytes, exit_code: None, started: self.wall, duration_ms, truncated }
    }
}

impl<'a> Reader<'a> {
    pub fn new(cx: &'a ToolCx) -> Self {
        Reader { cx, evidence: Vec::new(), gaps: Vec::new() }
    }

    /// A text file whole, with one evidence record of its own. Bytes that are not UTF-8 are replaced.
    pub fn text(&mut self, path: &Path) -> Result<String, Unread> {
        self.bytes(path, DEFAULT_CAP).map(|raw| String::from_utf8_lossy(&raw.bytes).into_owned())
    }

    /// At most `cap` bytes of a file, with one evidence record of its own.
    pub fn bytes(&mut self, path: &Path, cap: usize) -> Result<Raw, Unread> {
        let started = Started::now(self.cx);
        let raw = read_capped(path, cap)?;
        let source = path.display().to_string();
        self.push(started.evidence(self.cx, source, sha256(&raw.bytes), raw.bytes.len() as u64, raw.truncated));
        Ok(raw)
    }

    /// Runs a program, with one evidence record over its standard output.
    pub fn run(&mut self, program: &Program<'_>) -> Result<Ran, Unread> {
        let (ran, evidence) = program::run(self.cx, program)?;
        self.push(evidence);
        Ok(ran)
    }

    /// The entries of a directory by name; the evidence is over the names, one a line.
    pub fn list(&mut self, path: &Path) -> Result<Vec<Entry>, Unread> {
        let started = Started::now(self.cx);
        let entries = list_dir(path)?;
        let names = names_of(&entries);
        let source = format!("{} (names)", path.display());
        self.push(started.evidence(self.cx, source, sha256(names.as_bytes()), names.len() as u64, false));
        Ok(entries)
    }

    /// Adds evidence that was gathered elsewhere.
    pub fn push(&mut self, evidence: Evidence) {
        self.evidence.push(evidence);
    }

    /// Notes that `field` of the result is missing because of `unread`.
    pub fn gap(&mut self, field: &str, unread: &Unread) {
        self.gap_because(field, unread.reason());
    }

    pub fn gap_because(&mut self, field: &str, reason: Reason) {
        let Reason { code, facility, detail } = reason;
        self.gaps.push(Gap { field: field.to_owned(), code, facility, detail });
    }

    /// The value, or none with a gap noted for `field`.
    pub fn or_gap<T>(&mut self, field: &str, read: Result<T, Unread>) -> Option<T> {
        read.map_err(|unread| self.gap(field, &unread)).ok()
    }

    /// The gaps so far.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// `ok` when nothing is missing, `degraded` when a part is, `unavailable` when nothing at all could be read.
    pub fn finish<T: Serialize>(self, data: T) -> Output {
        let reason = summary(&self.gaps);
        if let (true, Some(reason)) = (self.evidence.is_empty(), &reason) {
            return Output::without_data(Status::Unavailable, reason.clone());
        }
        let data = match serde_json::to_value(Report { data, not_assessed: self.gaps }) {
            Ok(data) => data,
            Err(error) => {
                let detail = format!("the result could not be written as JSON: {error}");
                return Output::without_data(Status::Failed, Reason::new("io", "result", detail));
            }
        };
        match reason {
            None => Output::ok(data, self.evidence),
            Some(reason) => Output::degraded(data, self.evidence, reason),
        }
    }

    /// Ends the call as `unavailable`: the facility the tool is about does not exist here.
    pub fn unavailable(unread: &Unread) -> Output {
        Output::without_data(Status::Unavailable, unread.reason())
    }

    /// False when a fixture stands in for the host: the processor, netlink and D-Bus then say nothing about it.
    pub fn is_live(&self) -> bool {
        self.cx.roots.proc == Path::new("/proc") && self.cx.roots.sys == Path::new("/sys")
    }

    pub fn sys(&self, below: &str) -> PathBuf {
        self.cx.roots.sys.join(below)
    }

    pub fn proc(&self, below: &str) -> PathBuf {
        self.cx.roots.proc.join(below)
    }

    pub fn etc(&self, below: &str) -> PathBuf {
        self.cx.roots.etc.join(below)
    }

    pub fn var(&self, below: &str) -> PathBuf {
        self.cx.roots.var.join(below)
    }

    /// Any other absolute path, without its leading slash: `usr/lib/os-release`.
    pub fn root(&self, below: &str) -> PathBuf {
        self.cx.roots.root.join(below)
    }
}

/// At most `cap` bytes of a regular file. Never blocks on a pipe or a device.
pub fn read_capped(path: &Path, cap: usize) -> Result<Raw, Unread> {
    let failed = |error: io::Error| Unread::from_io(path, &error);
    let file = open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        let why = "it is not a regular file".to_owned();
        return Err(Unread::Io { what: path.display().to_string(), why });
    }
    let mut bytes = Vec::new();
    file.take(cap as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let truncated = bytes.len() > cap;
    bytes.truncate(cap);
    Ok(Raw { bytes, truncated })
}

fn open(path: &Path) -> io::Result<File> {
    // a pipe without a writer would block the open for ever
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// The entries of a directory, sorted by name. Names that are not UTF-8 are shown with replacements; `path` stays right.
pub fn list_dir(path: &Path) -> Result<Vec<Entry>, Unread> {
    let failed = |error: io::Error| Unread::from_io(path, &error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push(Entry { name, path: entry.path(), is_dir: kind.is_dir(), is_link: kind.is_symlink() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The names of a listing, one a line: what is hashed as evidence for it.
pub fn names_of(entries: &[Entry]) -> String {
    entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join("\n")
}

pub fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn summary(gaps: &[Gap]) -> Option<Reason> {
    let first = gaps.first()?;
    let mut detail = format!("`{}` was not assessed: {}", first.field, first.detail);
    if gaps.len() > 1 {
        let mut others: Vec<&str> = gaps[1..].iter().map(|gap| gap.field.as_str()).collect();
        others.dedup();
        detail.push_str(&format!("; nor were {}", others.join(", ")));
    }
    Some(Reason::new(&first.code, &first.facility, detail))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn a_file_is_read_to_its_cap_and_hashed_as_read() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello world").expect("write");
        let cx = FixtureCx::empty();
        let mut reader = Reader::new(&cx);
        let raw = reader.bytes(&path, 5).expect("readable");
        assert_eq!(raw, Raw { bytes: b"hello".to_vec(), truncated: true });
        let whole = reader.bytes(&path, 11).expect("readable");
        assert!(!whole.truncated, "a file as long as the cap is whole");
        let output = reader.finish(json!({}));
        assert_eq!(output.status, Status::Ok);
        assert_eq!(output.evidence[0].sha256, sha256(b"hello"));
        assert_eq!((output.evidence[0].bytes, output.evidence[0].truncated), (5, true));
        assert_eq!(output.evidence[1].source, path.display().to_string());
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_not_a_file() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let missing = read_capped(&dir.path().join("none"), 10).expect_err("missing");
        assert_eq!(missing.reason().code, "no_facility");
        let directory = read_capped(dir.path(), 10).expect_err("a directory");
        assert_eq!(directory.reason().code, "io");
        let denied = Unread::from_io(Path::new("/x"), &io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(denied.reason().code, "no_privilege");
    }

    #[test]
    fn a_pipe_without_a_writer_does_not_block() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        assert_eq!(read_capped(&path, 10).expect_err("not a file").reason().code, "io");
    }

    #[test]
    fn gaps_degrade_and_nothing_read_is_unavailable() {
        let cx = FixtureCx::empty();
        let missing = Unread::Missing { what: "/proc/pressure".to_owned() };
        let mut reader = Reader::new(&cx);
        reader.gap("psi", &missing);
        assert_eq!(reader.finish(json!({"psi": null})).status, Status::Unavailable);

        let dir = tempfile::tempdir().expect("a temp dir");
        let mut reader = Reader::new(&cx);
        assert_eq!(reader.list(dir.path()), Ok(Vec::new()));
        reader.gap("psi", &missing);
        reader.gap("load", &missing);
        let output = reader.finish(json!({"psi": null}));
        assert_eq!(output.status, Status::Degraded);
        assert_eq!(output.data["not_assessed"][0]["field"], "psi");
        let detail = output.reason.expect("a reason").detail;
        assert_eq!(detail, "`psi` was not assessed: /proc/pressure does not exist on this host; nor were load");
    }
}
