//! The right edge of a log: what it takes to append entries, and the files each append makes.
use crate::audit::merkle::Frontier;
use crate::audit::merkle::hash_leaf;
use crate::audit::merkle::hash_perfect;
use crate::audit::source::LogSource;
use crate::audit::tile::LONGEST_ENTRY;
use crate::audit::tile::Row;
use crate::audit::tile::TileError;
use crate::audit::tile::TilePath;
use crate::audit::tile::WIDTH;
use crate::audit::tile::decode_entries;
use crate::audit::tile::encode_entries;
use crate::audit::tile::encode_hashes;
use crate::audit::tile::read;
use crate::audit::tile::read_hashes;
use crate::ids::Digest;

/// A file of the log that an append makes. Its content never changes afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub path: TilePath,
    pub bytes: Vec<u8>,
}

/// A log's end: the tile that is not yet full at each level, the open entry bundle, and the root.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    frontier: Frontier,
    levels: Vec<Vec<Digest>>,
    bundle: Vec<Vec<u8>>,
}

impl Growth {
    /// Takes up a log of `size` entries from its files.
    pub fn load(source: &impl LogSource, size: u64) -> Result<Self, TileError> {
        let levels = edge(source, size)?;
        let bundle = match size % WIDTH {
            0 => Vec::new(),
            _ => match TilePath::holding(Row::Entries, size - 1, size) {
                None => Vec::new(),
                Some(path) => {
                    let bytes = read(source, path)?;
                    let (entries, whole) = decode_entries(path, &bytes);
                    whole?;
                    entries.into_iter().map(<[u8]>::to_vec).collect()
                }
            },
        };
        Ok(Growth { frontier: edge_frontier(&levels, size), levels, bundle })
    }

    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// The entries of the open bundle, the newest of the log.
    pub fn open_entries(&self) -> &[Vec<u8>] {
        &self.bundle
    }

    /// Appends entries and answers the files to write: each tile that became full, and the open ones that changed.
    /// Either all entries are appended or none. `hashes` are their leaf hashes.
    pub fn append_hashed(&mut self, entries: &[Vec<u8>], hashes: &[Digest]) -> Result<Vec<NewFile>, TileError> {
        debug_assert_eq!(entries.len(), hashes.len());
        if let Some(long) = entries.iter().find(|entry| entry.len() > LONGEST_ENTRY) {
            return Err(TileError::EntryTooLong { bytes: long.len() });
        }
        let mut files = Vec::new();
        let mut touched = 0;
        for (entry, leaf) in entries.iter().zip(hashes.iter().copied()) {
            self.bundle.push(entry.clone());
            self.frontier.push(leaf);
            if self.bundle.len() as u64 == WIDTH {
                files.push(self.bundle_file()?);
                self.bundle.clear();
            }
            touched = touched.max(self.push_hash(0, leaf, &mut files));
        }
        if !entries.is_empty() && !self.bundle.is_empty() {
            files.push(self.bundle_file()?);
        }
        for level in 0..touched {
            if !self.levels[level].is_empty() {
                files.push(self.tile_file(level));
            }
        }
        Ok(files)
    }

    /// As [`Growth::append_hashed`], where the hashes are not known.
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Result<Vec<NewFile>, TileError> {
        let hashes: Vec<Digest> = entries.iter().map(|entry| hash_leaf(entry)).collect();
        self.append_hashed(entries, &hashes)
    }

    /// Puts a hash into the open tile of a level; answers how many levels were touched.
    fn push_hash(&mut self, level: usize, hash: Digest, files: &mut Vec<NewFile>) -> usize {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(hash);
        if (self.levels[level].len() as u64) < WIDTH {
            return level + 1;
        }
        files.push(self.tile_file(level));
        let above = hash_perfect(&self.levels[level]);
        self.levels[level].clear();
        self.push_hash(level + 1, above, files)
    }

    fn bundle_file(&self) -> Result<NewFile, TileError> {
        let path = TilePath { row: Row::Entries, index: (self.size() - 1) / WIDTH, width: self.bundle.len() as u16 };
        Ok(NewFile { path, bytes: encode_entries(self.bundle.iter().map(Vec::as_slice))? })
    }

    fn tile_file(&self, level: usize) -> NewFile {
        let hashes = &self.levels[level];
        // The size counts the newest entry, so the last hash of this level is within the open tile.
        let index = ((self.size() >> (8 * level)) - 1) / WIDTH;
        let path = TilePath { row: Row::Level(level as u8), index, width: hashes.len() as u16 };
        NewFile { path, bytes: encode_hashes(hashes) }
    }
}

/// The open tile of each level of a log of `size` entries.
pub fn edge(source: &impl LogSource, size: u64) -> Result<Vec<Vec<Digest>>, TileError> {
    let mut levels = Vec::new();
    let mut length = size;
    while length > 0 {
        let row = Row::Level(levels.len() as u8);
        levels.push(match TilePath::holding(row, length - 1, size) {
            Some(path) if !path.is_full() => read_hashes(source, path)?,
            _ => Vec::new(),
        });
        length /= WIDTH;
    }
    Ok(levels)
}

/// The perfect subtrees that the open tiles stand for, largest first.
pub fn edge_frontier(levels: &[Vec<Digest>], size: u64) -> Frontier {
    let mut peaks = Vec::new();
    for hashes in levels.iter().rev() {
        let mut rest = hashes.as_slice();
        while !rest.is_empty() {
            let (peak, after) = rest.split_at(1 << rest.len().ilog2());
            peaks.push(hash_perfect(peak));
            rest = after;
        }
    }
    // The tiles have the widths that follow from the size, so the number of peaks fits it.
    Frontier::from_peaks(size, peaks).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::audit::merkle::naive;
    use crate::audit::proof;
    use crate::audit::tile::read_node;

    fn store(log: &mut BTreeMap<String, Vec<u8>>, files: Vec<NewFile>) {
        for NewFile { path, bytes } in files {
            if let Some(old) = log.insert(path.to_string(), bytes.clone()) {
                assert_eq!(old, bytes, "{path} changed");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn tiles_hold_the_tree_however_the_entries_arrive(batches in prop::collection::vec(0usize..400, 1..6), reload in any::<bool>()) {
            let leaves = naive::leaves(batches.iter().sum());
            let (mut log, mut growth, mut at) = (BTreeMap::new(), Growth::default(), 0);
            for batch in batches {
                store(&mut log, growth.append(&leaves[at..at + batch]).expect("short entries"));
                at += batch;
                prop_assert_eq!(growth.root(), naive::root(&leaves[..at]));
                if reload {
                    growth = Growth::load(&log, at as u64).expect("whole tiles");
                    prop_assert_eq!(growth.root(), naive::root(&leaves[..at]));
                    prop_assert_eq!(growth.open_entries(), &leaves[at - at % 256..at]);
                }
            }
        }
    }

    #[test]
    fn proofs_come_out_of_the_tiles() {
        let leaves = naive::leaves(700);
        let (mut log, mut growth) = (BTreeMap::new(), Growth::default());
        store(&mut log, growth.append(&leaves).expect("short entries"));
        for index in [0, 255, 256, 511, 512, 699] {
            let path = proof::inclusion(index, 700, &mut |node| read_node(&log, node, 700)).expect("inside");
            assert_eq!(path, naive::path(index as usize, &leaves), "index {index}");
        }
        for old in [1, 256, 300, 512, 699, 700] {
            let path = proof::consistency(old, 700, &mut |node| read_node(&log, node, 700)).expect("smaller");
            assert_eq!(path, naive::consistency(old as usize, &leaves), "old size {old}");
        }
    }

    #[test]
    fn a_tree_of_three_levels_is_taken_up_again() {
        let leaves = naive::leaves(65_536 + 257);
        let (mut log, mut growth) = (BTreeMap::new(), Growth::default());
        store(&mut log, growth.append(&leaves).expect("short entries"));
        let again = Growth::load(&log, leaves.len() as u64).expect("whole tiles");
        assert_eq!((again.size(), again.root()), (growth.size(), naive::root(&leaves)));
        assert!(log.contains_key("tile/2/000.p/1") && log.contains_key("tile/1/001.p/1"));
    }
}
