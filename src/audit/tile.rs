//! C2SP tlog-tiles with tiles of height 8: paths, hash tiles, entry bundles, and the hash of a subtree from a tile.
use std::fmt;
use std::str::FromStr;

use crate::audit::merkle::hash_perfect;
use crate::audit::proof::NodeAt;
use crate::audit::proof::ProofError;
use crate::audit::source::LogSource;
use crate::audit::source::SourceError;
use crate::ids::Digest;

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u64 = 256;
const HEIGHT: u32 = 8;
/// The framing of a bundle gives 16 bits to an entry's length.
pub const LONGEST_ENTRY: usize = u16::MAX as usize;

/// Which row of files: the hashes of one level, or the entries themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    Entries,
    Level(u8),
}

/// The place of a tile or bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    pub row: Row,
    pub index: u64,
    /// 1 to 256; below 256 the tile is partial.
    pub width: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum TileError {
    #[error("`{text}` is not the path of a tile")]
    Path { text: String },
    #[error("`{path}` is not in the log")]
    Missing { path: TilePath },
    #[error("`{path}` has {bytes} bytes, which is not {wanted}")]
    Length { path: TilePath, bytes: usize, wanted: usize },
    #[error("`{path}` does not hold {} whole entries: it breaks off at its entry {at}", path.width)]
    Framing { path: TilePath, at: usize },
    #[error("an entry of {bytes} bytes is longer than the {LONGEST_ENTRY} a bundle can frame")]
    EntryTooLong { bytes: usize },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl TilePath {
    /// The tile of `row` that holds position `at` of that row, in a log of `size` entries. `None` beyond the end.
    pub fn holding(row: Row, at: u64, size: u64) -> Option<Self> {
        let length = match row {
            Row::Entries => size,
            Row::Level(level) => size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0),
        };
        let index = at / WIDTH;
        let width = length.saturating_sub(index * WIDTH).min(WIDTH);
        (at < length).then_some(TilePath { row, index, width: width as u16 })
    }

    pub fn is_full(&self) -> bool {
        u64::from(self.width) == WIDTH
    }

    /// The full tile at the same place.
    pub fn filled(self) -> Self {
        TilePath { width: WIDTH as u16, ..self }
    }

    /// The indexes of the log entries that stand behind position `at` of this tile.
    pub fn entries_of(&self, at: u64) -> std::ops::Range<u64> {
        let shift = match self.row {
            Row::Entries => 0,
            Row::Level(level) => HEIGHT * u32::from(level),
        };
        let position = self.index * WIDTH + at;
        position << shift..(position + 1) << shift
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            Row::Entries => f.write_str("tile/entries/")?,
            Row::Level(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups[1..].iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for TilePath {
    type Err = TileError;
    fn from_str(text: &str) -> Result<Self, TileError> {
        let parsed = parse(text).filter(|path| path.to_string() == text);
        parsed.ok_or_else(|| TileError::Path { text: text.to_owned() })
    }
}

/// Reads a path leniently; the caller compares with the one way to write it.
fn parse(text: &str) -> Option<TilePath> {
    let (row, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let row = if row == "entries" { Row::Entries } else { Row::Level(row.parse().ok().filter(|level| *level < 64)?) };
    let (number, width) = match rest.split_once(".p/") {
        None => (rest, WIDTH as u16),
        Some((number, width)) => (number, width.parse().ok().filter(|w| (1..WIDTH).contains(&u64::from(*w)))?),
    };
    let index = number.split('/').try_fold(0u64, |index, group| {
        let group: u64 = group.trim_start_matches('x').parse().ok().filter(|group| *group < 1000)?;
        index.checked_mul(1000)?.checked_add(group)
    })?;
    Some(TilePath { row, index, width })
}

/// The bytes of a hash tile.
pub fn encode_hashes(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile, which must have as many as its path says.
pub fn decode_hashes(path: TilePath, bytes: &[u8]) -> Result<Vec<Digest>, TileError> {
    let wanted = usize::from(path.width) * 32;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if bytes.len() != wanted || !rest.is_empty() {
        return Err(TileError::Length { path, bytes: bytes.len(), wanted });
    }
    Ok(hashes.iter().map(|hash| Digest(*hash)).collect())
}

/// The bytes of an entry bundle.
pub fn encode_entries<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong { bytes: entry.len() })?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

/// The entries of a bundle as far as its framing holds, and whether they are as many as its path says.
pub fn decode_entries(path: TilePath, mut bytes: &[u8]) -> (Vec<&[u8]>, Result<(), TileError>) {
    let mut entries = Vec::with_capacity(usize::from(path.width));
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let Some((entry, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
        entries.push(entry);
        bytes = rest;
    }
    let whole = bytes.is_empty() && entries.len() == usize::from(path.width);
    let at = entries.len().min(usize::from(path.width));
    (entries, if whole { Ok(()) } else { Err(TileError::Framing { path, at }) })
}

/// Reads a tile or bundle; where a partial one was removed after the full one came, the start of that.
pub fn read(source: &impl LogSource, path: TilePath) -> Result<Vec<u8>, TileError> {
    if let Some(bytes) = source.read(&path.to_string())? {
        return Ok(bytes);
    }
    let full = if path.is_full() { None } else { source.read(&path.filled().to_string())? };
    let bytes = full.ok_or(TileError::Missing { path })?;
    match path.row {
        Row::Level(_) => Ok(bytes.into_iter().take(usize::from(path.width) * 32).collect()),
        Row::Entries => {
            let (entries, _) = decode_entries(path.filled(), &bytes);
            encode_entries(entries.into_iter().take(usize::from(path.width)))
        }
    }
}

pub fn read_hashes(source: &impl LogSource, path: TilePath) -> Result<Vec<Digest>, TileError> {
    decode_hashes(path, &read(source, path)?)
}

/// The hash of a perfect subtree of a log of `size` entries, from its tiles.
pub fn read_node(source: &impl LogSource, node: NodeAt, size: u64) -> Result<Digest, TileError> {
    let level = node.level / HEIGHT;
    let span = 1u64 << (node.level % HEIGHT);
    let first = node.index * span;
    let path = TilePath::holding(Row::Level(level as u8), first + span - 1, size)
        .ok_or(ProofError::OutOfTree { index: (node.index + 1) << node.level, size })?;
    let hashes = read_hashes(source, path)?;
    let from = (first % WIDTH) as usize;
    Ok(hash_perfect(&hashes[from..from + span as usize]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, row: Row, index: u64, width: u16) {
        let path = TilePath { row, index, width };
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse::<TilePath>().expect("a path"), path);
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        check("tile/0/x001/x234/067", Row::Level(0), 1_234_067, 256);
        check("tile/entries/000.p/7", Row::Entries, 0, 7);
        check("tile/2/x001/000.p/255", Row::Level(2), 1000, 255);
        for bad in [
            "tile/0/1",
            "tile/00/001",
            "tile/64/001",
            "tile/0/x001",
            "tile/0/000.p/256",
            "tile/0/000.p/0",
            "tile/0/../x",
            "checkpoint",
        ] {
            assert!(bad.parse::<TilePath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tree_of_70_000_has_the_widths_of_the_specification() {
        let last =
            |level| TilePath::holding(Row::Level(level), (70_000u64 >> (8 * level)) - 1, 70_000).expect("inside");
        assert_eq!((last(0).index, last(0).width), (273, 112));
        assert_eq!((last(1).index, last(1).width), (1, 17));
        assert_eq!((last(2).index, last(2).width), (0, 1));
        assert_eq!(TilePath::holding(Row::Level(3), 0, 70_000), None);
    }

    proptest! {
        #[test]
        fn entries_survive_their_framing(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..20)) {
            let path = TilePath { row: Row::Entries, index: 0, width: entries.len() as u16 };
            let bytes = encode_entries(entries.iter().map(Vec::as_slice)).expect("short");
            let (read, whole) = decode_entries(path, &bytes);
            prop_assert!(whole.is_ok());
            prop_assert_eq!(read, entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert!(decode_entries(path, &bytes[1..]).1.is_err() || bytes[1..].is_empty());
        }
    }

    #[test]
    fn an_entry_too_long_for_the_framing_is_refused() {
        assert!(matches!(encode_entries([&[0u8; 65_536][..]]), Err(TileError::EntryTooLong { bytes: 65_536 })));
    }
}
