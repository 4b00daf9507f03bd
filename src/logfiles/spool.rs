//! A spool: records wait in files until they have landed somewhere else, in the order in which they came.
//!
//! ```text
//! append -> newest segment     peek -> records from the oldest segment on     landed -> segments read through are removed
//! ```
//! A line is the first 16 hex digits of the SHA-256 of a record, a blank, and the record in JSON. A line that does not
//! fit its digest is left out: at the end of a file it was torn by a crash. The spool has a bound; beyond it the oldest
//! segment that nobody is reading goes, and is counted.
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
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
    /// Lines that have not landed.
    records: u64,
}

/// Records that were read, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    pub records: Vec<String>,
    until: (u64, u64),
    /// Lines read in each segment, good or not.
    lines: Vec<(u64, u64)>,
}

#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    bounds: Bounds,
    /// From the oldest to the newest.
    segments: VecDeque<Segment>,
    /// How much of the oldest has landed.
    head: u64,
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
        let mut spool = Spool { dir, bounds, segments, head: 0, file: None, next, reading: None, dropped: 0 };
        for number in numbers {
            let path = spool.path(number);
            let counted = fs::read(&path).map_err(|cause| SpoolError { path: path.clone(), cause })?;
            let records = counted.split_inclusive(|byte| *byte == b'\n').count() as u64;
            spool.segments.push_back(Segment { number, bytes: counted.len() as u64, records });
        }
        Ok(spool)
    }

    /// Adds records. They survive the end of this process; see `unsynced` for the end of the machine.
    pub fn append(&mut self, records: &[String]) -> Result<(), SpoolError> {
        for chunk in records.chunks(64) {
            let mut lines = String::new();
            for record in chunk {
                lines.push_str(&digest(record));
                lines.push(' ');
                lines.push_str(record);
                lines.push('\n');
            }
            self.write(lines.as_bytes(), chunk.len() as u64)?;
        }
        self.keep_bound();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], records: u64) -> Result<(), SpoolError> {
        let full = self.segments.back().is_some_and(|newest| newest.bytes >= self.bounds.segment);
        if self.file.is_none() || full {
            let path = self.path(self.next);
            let made = OpenOptions::new().create_new(true).append(true).open(&path);
            self.file = Some(made.map_err(|cause| SpoolError { path, cause })?);
            self.segments.push_back(Segment { number: self.next, bytes: 0, records: 0 });
            self.next += 1;
        }
        let path = self.path(self.next - 1);
        let (Some(file), Some(newest)) = (&mut self.file, self.segments.back_mut()) else { return Ok(()) };
        if let Err(cause) = file.write_all(bytes) {
            // Half a line may be in the file: whatever follows goes to another one.
            self.file = None;
            return Err(SpoolError { path, cause });
        }
        newest.bytes += bytes.len() as u64;
        newest.records += records;
        Ok(())
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
                if at == 0 {
                    self.head = 0;
                }
                self.remove(segment.number);
            }
        }
    }

    /// Up to `most` of the oldest records; none: the spool is empty. To be followed by `landed` or `again`.
    pub fn peek(&mut self, most: usize) -> Result<Option<Peeked>, SpoolError> {
        let (mut records, mut lines, mut until) = (Vec::new(), Vec::new(), (0, 0));
        for (at, segment) in self.segments.iter().enumerate() {
            let mut offset = if at == 0 { self.head } else { 0 };
            let path = self.path(segment.number);
            let failed = |cause| SpoolError { path: path.clone(), cause };
            let mut file = File::open(&path).map_err(failed)?;
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            let (mut file, mut line, mut count) = (BufReader::new(file), Vec::new(), 0);
            while records.len() < most && offset < segment.bytes {
                line.clear();
                let read = file.read_until(b'\n', &mut line).map_err(failed)?;
                if read == 0 {
                    break;
                }
                offset += read as u64;
                count += 1;
                records.extend(checked(&line));
            }
            until = (segment.number, offset);
            lines.push((segment.number, count));
            if records.len() >= most {
                break;
            }
        }
        if lines.iter().all(|(_, count)| *count == 0) {
            return Ok(None);
        }
        self.reading = Some(until.0);
        Ok(Some(Peeked { records, until, lines }))
    }

    /// What was read is safe elsewhere.
    pub fn landed(&mut self, peeked: &Peeked) {
        self.reading = None;
        let (last, offset) = peeked.until;
        for (number, count) in &peeked.lines {
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.number == *number) {
                segment.records = segment.records.saturating_sub(*count);
            }
        }
        while let Some(oldest) = self.segments.front().filter(|oldest| oldest.number <= last) {
            if oldest.number == last && offset < oldest.bytes {
                self.head = offset;
                return;
            }
            let number = oldest.number;
            self.segments.pop_front();
            self.head = 0;
            if number + 1 == self.next {
                self.file = None;
            }
            self.remove(number);
        }
    }

    /// What was read has not landed and will be read again.
    pub fn again(&mut self) {
        self.reading = None;
    }

    pub fn waiting(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() - self.head
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
