//! A spool: records wait in files until they have landed somewhere else, in the order in which they came.
//!
//! ```text
//! append -> newest segment     peek -> records from the oldest segment on     landed -> segments read through are removed
//! ```
//! A line is the first 16 hex digits of the SHA-256 of a record, a blank, and the record in JSON. A line that does not
//! fit its digest is left out: at the end of a file it was torn by a crash. The spool has a bound; beyond it the oldest
//! segment that nobody is reading goes, and is counted.
//!
//! A life that stands still may wake up when another one has taken its files over. What it writes then is read as well,
//! or refused when the file has gone: nothing is acknowledged that nobody will read.
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

const ENDING: &str = "seg";

#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", path.display())]
pub struct SpoolError {
    pub path: PathBuf,
    #[source]
    pub cause: io::Error,
}

/// How large the spool may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A new file is begun beyond this.
    pub segment: u64,
    pub total: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { segment: 1 << 20, total: 64 << 20 }
    }
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    /// How many of the bytes have landed.
    landed: u64,
    /// Lines that have not landed.
    records: u64,
}

/// How far one segment was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    number: u64,
    until: u64,
    /// Lines, good or not.
    lines: u64,
}

/// Records that were read, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    pub records: Vec<String>,
    read: Vec<Progress>,
}

#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    bounds: Bounds,
    /// From the oldest to the newest.
    segments: VecDeque<Segment>,
    /// The newest, open for writing.
    file: Option<File>,
    next: u64,
    /// The newest segment that is being read.
    reading: Option<u64>,
    dropped: u64,
}

impl Spool {
    /// Takes up what an earlier life left. Its files are not written to any more.
    pub fn open(dir: &Path, bounds: Bounds) -> Result<Self, SpoolError> {
        let failed = |cause| SpoolError { path: dir.to_owned(), cause };
        fs::create_dir_all(dir).map_err(failed)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                numbers.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
            }
        }
        numbers.sort_unstable();
        let next = numbers.last().map_or(0, |last| last + 1);
        let (dir, segments) = (dir.to_owned(), VecDeque::new());
        let mut spool = Spool { dir, bounds, segments, file: None, next, reading: None, dropped: 0 };
        for number in numbers {
            let path = spool.path(number);
            let counted = fs::read(&path).map_err(|cause| SpoolError { path: path.clone(), cause })?;
            let records = counted.split_inclusive(|byte| *byte == b'\n').count() as u64;
            spool.segments.push_back(Segment { number, bytes: counted.len() as u64, landed: 0, records });
        }
        Ok(spool)
    }

    /// Adds records, all or none. They survive the end of this process; see `unsynced` for the end of the machine.
    pub fn append(&mut self, records: &[String]) -> Result<(), SpoolError> {
        let mut lines = String::new();
        for record in records {
            lines.push_str(&digest(record));
            lines.push(' ');
            lines.push_str(record);
            lines.push('\n');
        }
        let full = self.segments.back().is_some_and(|newest| newest.bytes >= self.bounds.segment);
        if self.file.is_none() || full {
            self.begin_segment()?;
        }
        let (Some(file), Some(newest)) = (&mut self.file, self.segments.back_mut()) else { return Ok(()) };
        if let Err(cause) = file.write_all(lines.as_bytes()).and_then(|()| has_name(file)) {
            let path = self.path(self.next - 1);
            self.undo();
            return Err(SpoolError { path, cause });
        }
        newest.bytes += lines.len() as u64;
        newest.records += records.len() as u64;
        self.keep_bound();
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), SpoolError> {
        loop {
            let path = self.path(self.next);
            let made = OpenOptions::new().create_new(true).append(true).open(&path);
            // A life that stood still has made it meanwhile: what it holds is read in its turn.
            let taken = matches!(&made, Err(cause) if cause.kind() == ErrorKind::AlreadyExists);
            if !taken {
                self.file = Some(made.map_err(|cause| SpoolError { path, cause })?);
            }
            self.segments.push_back(Segment { number: self.next, bytes: 0, landed: 0, records: 0 });
            self.next += 1;
            if !taken {
                return Ok(());
            }
        }
    }

    /// Takes back what an append that failed has left in the newest segment. Without this each try on a full disk
    /// would leave a part of itself, or an empty file.
    fn undo(&mut self) {
        let (Some(file), Some(newest)) = (&self.file, self.segments.back()) else { return };
        if newest.bytes == 0 {
            let number = newest.number;
            self.file = None;
            self.segments.pop_back();
            self.remove(number);
        } else if file.set_len(newest.bytes).and_then(|()| has_name(file)).is_err() {
            // Half a line may be in the file, or the file is gone: whatever follows goes to another one.
            self.file = None;
        }
    }

    /// A handle of the newest file, to be flushed on another thread.
    pub fn unsynced(&self) -> Option<File> {
        self.file.as_ref().and_then(|file| file.try_clone().ok())
    }

    fn keep_bound(&mut self) {
        while self.bytes() > self.bounds.total {
            let busy = |segment: &Segment| self.reading.is_some_and(|reading| segment.number <= reading);
            let oldest = self.segments.iter().position(|segment| !busy(segment));
            // The newest stays, whatever its size.
            let Some(at) = oldest.filter(|at| at + 1 < self.segments.len()) else { return };
            if let Some(segment) = self.segments.remove(at) {
                self.dropped += segment.records;
                self.remove(segment.number);
            }
        }
    }

    /// Up to `most` of the oldest records; none: the spool is empty. To be followed by `landed` or `again`.
    pub fn peek(&mut self, most: usize) -> Result<Option<Peeked>, SpoolError> {
        let (mut records, mut progress) = (Vec::new(), Vec::new());
        for segment in &self.segments {
            let path = self.path(segment.number);
            let failed = |cause| SpoolError { path: path.clone(), cause };
            let mut file = File::open(&path).map_err(failed)?;
            file.seek(SeekFrom::Start(segment.landed)).map_err(failed)?;
            let (mut file, mut line) = (BufReader::new(file), Vec::new());
            let mut read = Progress { number: segment.number, until: segment.landed, lines: 0 };
            while records.len() < most && read.until < segment.bytes {
                line.clear();
                let bytes = file.read_until(b'\n', &mut line).map_err(failed)?;
                if bytes == 0 {
                    break;
                }
                read.until += bytes as u64;
                read.lines += 1;
                records.extend(checked(&line));
            }
            progress.push(read);
            if records.len() >= most {
                break;
            }
        }
        if progress.iter().all(|read| read.lines == 0) {
            return Ok(None);
        }
        self.reading = progress.last().map(|read| read.number);
        Ok(Some(Peeked { records, read: progress }))
    }

    /// What was read is safe elsewhere.
    pub fn landed(&mut self, peeked: &Peeked) {
        self.reading = None;
        for read in &peeked.read {
            let Some(at) = self.segments.iter().position(|segment| segment.number == read.number) else { continue };
            let segment = &mut self.segments[at];
            segment.landed = read.until;
            segment.records = segment.records.saturating_sub(read.lines);
            let ours = self.file.is_some() && segment.number + 1 == self.next;
            if segment.landed < segment.bytes || (!ours && self.has_grown(at)) {
                continue;
            }
            if ours {
                self.file = None;
            }
            self.segments.remove(at);
            self.remove(read.number);
        }
    }

    /// Has a life that stood still added to this segment after we took it over? It was told that its lessons are kept.
    fn has_grown(&mut self, at: usize) -> bool {
        let path = self.path(self.segments[at].number);
        let segment = &mut self.segments[at];
        // What cannot be looked at cannot be read either.
        let Ok(meta) = fs::metadata(&path) else { return false };
        if meta.len() <= segment.landed {
            return false;
        }
        segment.bytes = meta.len();
        // How many lines that makes is found out by reading them; until then it counts as one.
        segment.records = segment.records.max(1);
        true
    }

    /// What was read has not landed and will be read again.
    pub fn again(&mut self) {
        self.reading = None;
    }

    pub fn waiting(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes.saturating_sub(segment.landed)).sum()
    }

    /// Records given up for want of room since the spool was opened.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn remove(&self, number: u64) {
        let path = self.path(number);
        if let Err(error) = fs::remove_file(&path) {
            // Its records would be read again by the next life, which is no harm.
            tracing::warn!(%error, "{} could not be removed", path.display());
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:012}.{ENDING}"))
    }
}

/// An error if the file was removed: another life has brought what it held elsewhere, and would not see more.
fn has_name(file: &File) -> io::Result<()> {
    match file.metadata()?.nlink() {
        0 => Err(io::Error::new(io::ErrorKind::NotFound, "it was taken over and removed")),
        _ => Ok(()),
    }
}

fn digest(record: &str) -> String {
    hex::encode(&Sha256::digest(record.as_bytes())[..8])
}

fn checked(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (claimed, record) = line.split_once(' ')?;
    (digest(record) == claimed).then(|| record.to_owned())
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
