//! The offline check of a whole log: hashes every entry again, and trusts nothing but the verifier key and the pin.
//!
//! Entries are hashed bundle by bundle into a tree of our own; its root has to be the signed one. If it is, a tile that
//! differs is merely damaged. If it is not, the tiles that lead up to the signed root point to the entry that changed.
use crate::audit::checkpoint::Checkpoint;
use crate::audit::entry::canonical;
use crate::audit::growth::edge;
use crate::audit::growth::edge_frontier;
use crate::audit::merkle::Frontier;
use crate::audit::merkle::hash_leaf;
use crate::audit::merkle::hash_perfect;
use crate::audit::note::NoteError;
use crate::audit::note::NoteKey;
use crate::audit::note::text_of;
use crate::audit::source::LogSource;
use crate::audit::source::SourceError;
use crate::audit::tile::Row;
use crate::audit::tile::TileError;
use crate::audit::tile::TilePath;
use crate::audit::tile::WIDTH;
use crate::audit::tile::decode_entries;
use crate::audit::tile::read;
use crate::audit::tile::read_hashes;
use crate::audit::verdict::Fault;
use crate::audit::verdict::FaultKind;
use crate::audit::verdict::Verdict;
use crate::ids::Digest;

/// Faults listed of one kind of file; more of the same says nothing new.
const ENOUGH: usize = 16;

/// The check could not be made; nothing is known about the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the verifier key cannot be used")]
    Key(#[from] NoteError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Checks a log against the text of a verifier key (a vkey line or PEM) and, if there is one, a checkpoint that was
/// kept from earlier: without it a log cut back to an old head cannot be told from one that has not grown yet.
pub fn verify(source: &impl LogSource, key: &str, pin: Option<&str>) -> Result<Verdict, VerifyError> {
    let note = source.read("checkpoint")?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = note.as_deref().map(text_of);
    let head = text.map(|text| {
        text.map_err(|error| error.to_string())
            .and_then(|text| Checkpoint::parse(text).map_err(|error| error.to_string()))
    });
    let origin = match &head {
        Some(Ok(head)) => head.origin.clone(),
        _ => String::new(),
    };
    let key = NoteKey::read(key, if origin.is_empty() { "unknown" } else { &origin })?;
    let mut verdict = Verdict {
        origin,
        size: 0,
        root: None,
        key: format!("{}+{:08x}", key.name(), key.id()),
        checked: 0,
        pinned: None,
        faults: Vec::new(),
    };
    let head = match head {
        None => return Ok(with(verdict, FaultKind::Head, None, "the log has no `checkpoint`, so nothing is signed")),
        Some(Err(error)) => return Ok(with(verdict, FaultKind::Head, None, &format!("`checkpoint`: {error}"))),
        Some(Ok(head)) => head,
    };
    (verdict.size, verdict.root) = (head.size, Some(head.root));
    if let Some(Err(error)) = note.as_deref().map(|note| key.open(note)) {
        verdict = with(verdict, FaultKind::Signature, None, &format!("`checkpoint`: {error}"));
    } else if head.origin != key.name() {
        let detail = format!("the head names the log `{}`, the key is that of `{}`", head.origin, key.name());
        verdict = with(verdict, FaultKind::Signature, None, &detail);
    }
    let pin = pin.map(|note| {
        let text = key.open(note).map_err(|error| error.to_string())?;
        Checkpoint::parse(text).map_err(|error| error.to_string())
    });
    let pin = match pin {
        Some(Err(error)) => {
            verdict = with(verdict, FaultKind::Pin, None, &format!("the pinned checkpoint: {error}"));
            None
        }
        Some(Ok(pin)) => Some(pin),
        None => None,
    };
    verdict.pinned = pin.as_ref().map(|pin| pin.size);
    let mut check = Check { source, head, rebuilt: Rebuilt::default(), verdict };
    let whole = check.entries(pin.as_ref())?;
    check.judge(whole)?;
    Ok(check.verdict)
}

fn with(mut verdict: Verdict, kind: FaultKind, first: Option<u64>, detail: &str) -> Verdict {
    verdict.faults.push(Fault { kind, first, last: None, detail: detail.to_owned() });
    verdict
}

/// The tree as the entries make it.
#[derive(Default)]
struct Rebuilt {
    frontier: Frontier,
    /// Above the leaves: at `n`, the hashes of tile level `n + 1`.
    above: Vec<Vec<Digest>>,
    last_tile: Vec<Digest>,
    /// Where entries and stored leaf hashes first disagree.
    suspect: Option<u64>,
    tiles: Vec<Fault>,
    pin_root: Option<Digest>,
}

struct Check<'a, S> {
    source: &'a S,
    head: Checkpoint,
    rebuilt: Rebuilt,
    verdict: Verdict,
}

impl<S: LogSource> Check<'_, S> {
    /// Hashes the entries; answers whether all that the head covers are there.
    fn entries(&mut self, pin: Option<&Checkpoint>) -> Result<bool, VerifyError> {
        let size = self.head.size;
        if let Some(pin) = pin {
            if pin.size > size {
                let detail = format!("the log was cut: it has {size} entries, the pinned checkpoint {}", pin.size);
                self.fault(FaultKind::Pin, Some(size), None, detail);
            } else if pin.size == 0 {
                self.rebuilt.pin_root = Some(self.rebuilt.frontier.root());
            }
        }
        let mut whole = true;
        for index in 0..size.div_ceil(WIDTH) {
            let Some(path) = TilePath::holding(Row::Entries, index * WIDTH, size) else { break };
            let (found, complete) = self.bundle(path, pin)?;
            whole = complete;
            if !complete {
                let first = index * WIDTH + found;
                // An entry taken out of the middle shifts the rest: the first that disagrees is where it was.
                let first = self.rebuilt.suspect.map_or(first, |suspect| suspect.min(first));
                let detail =
                    format!("`{path}` does not hold the entries the head covers: some are missing or cut short");
                self.fault(FaultKind::Missing, Some(first), Some(size - 1), detail);
                break;
            }
        }
        if let (Some(pin), Some(root)) = (pin, self.rebuilt.pin_root)
            && pin.root != root
        {
            let detail = format!("the first {} entries are not those of the pinned checkpoint", pin.size);
            self.fault(FaultKind::Pin, None, None, detail);
        }
        Ok(whole)
    }

    /// Hashes one bundle; answers how many entries it has, and whether that is all of them.
    fn bundle(&mut self, path: TilePath, pin: Option<&Checkpoint>) -> Result<(u64, bool), VerifyError> {
        let bytes = match read(self.source, path) {
            Ok(bytes) => bytes,
            Err(TileError::Source(error)) => return Err(error.into()),
            Err(_) => self.longest_partial(path)?,
        };
        let (entries, framing) = decode_entries(path, &bytes);
        let start = path.index * WIDTH;
        let hashes: Vec<Digest> = entries.iter().map(|entry| hash_leaf(entry)).collect();
        self.compare_leaves(TilePath { row: Row::Level(0), ..path }, &hashes)?;
        for (entry, index) in entries.iter().zip(start..) {
            self.shape(entry, index);
        }
        for hash in &hashes {
            self.rebuilt.frontier.push(*hash);
            if pin.is_some_and(|pin| pin.size == self.rebuilt.frontier.size()) {
                self.rebuilt.pin_root = Some(self.rebuilt.frontier.root());
            }
        }
        self.verdict.checked += hashes.len() as u64;
        if hashes.len() as u64 == WIDTH {
            self.rebuilt.lift(0, hash_perfect(&hashes));
            self.rebuilt.last_tile.clear();
        } else {
            self.rebuilt.last_tile = hashes;
        }
        Ok((entries.len() as u64, framing.is_ok()))
    }

    /// What is left of a bundle that is not there as wide as it should be.
    fn longest_partial(&self, path: TilePath) -> Result<Vec<u8>, SourceError> {
        for width in (1..path.width).rev() {
            if let Some(bytes) = self.source.read(&TilePath { width, ..path }.to_string())? {
                return Ok(bytes);
            }
        }
        Ok(Vec::new())
    }

    fn compare_leaves(&mut self, path: TilePath, hashes: &[Digest]) -> Result<(), VerifyError> {
        let at = self.compare(path, hashes)?;
        if let Some(at) = at {
            self.rebuilt.suspect.get_or_insert(path.index * WIDTH + at);
        }
        Ok(())
    }

    /// Where a stored tile first differs from the hashes it should have; noted as a fault of the tile.
    fn compare(&mut self, path: TilePath, hashes: &[Digest]) -> Result<Option<u64>, VerifyError> {
        let (at, detail) = match read_hashes(self.source, path) {
            Ok(stored) => match stored.iter().zip(hashes).position(|(stored, ours)| stored != ours) {
                Some(at) => (at, format!("`{path}` has another hash than its entries")),
                None => return Ok(None),
            },
            Err(TileError::Source(error)) => return Err(error.into()),
            Err(error) => (0, error.to_string()),
        };
        let behind = path.entries_of(at as u64);
        if self.rebuilt.tiles.len() < ENOUGH {
            let last = Some(behind.end.min(self.head.size) - 1);
            self.rebuilt.tiles.push(Fault { kind: FaultKind::Tile, first: Some(behind.start), last, detail });
        }
        Ok(Some(at as u64))
    }

    fn shape(&mut self, entry: &[u8], index: u64) {
        let plain = serde_json::from_slice::<serde_json::Value>(entry)
            .is_ok_and(|value| value.is_object() && canonical(&value) == entry);
        if !plain && self.verdict.faults.len() < ENOUGH {
            self.fault(FaultKind::Entry, Some(index), None, "it is not the canonical JSON of an entry".to_owned());
        }
    }

    /// Compares the tree that the entries make with the signed root and the stored tiles.
    fn judge(&mut self, whole: bool) -> Result<(), VerifyError> {
        if !whole {
            return Ok(());
        }
        if self.rebuilt.frontier.root() != self.head.root {
            let fault = self.locate()?;
            self.verdict.faults.push(fault);
            return Ok(());
        }
        for (level, hashes) in self.rebuilt.above.clone().iter().enumerate() {
            for (index, tile) in hashes.chunks(WIDTH as usize).enumerate() {
                let path = TilePath { row: Row::Level(level as u8 + 1), index: index as u64, width: tile.len() as u16 };
                self.compare(path, tile)?;
            }
        }
        self.verdict.faults.append(&mut self.rebuilt.tiles);
        Ok(())
    }

    /// Finds the first entry that changed, by the stored tiles as far as they lead up to the signed root.
    fn locate(&self) -> Result<Fault, VerifyError> {
        let size = self.head.size;
        let fault = |kind, first, last, detail: &str| Fault { kind, first, last, detail: detail.to_owned() };
        let levels = match edge(self.source, size) {
            Ok(levels) if edge_frontier(&levels, size).root() == self.head.root => levels,
            Err(TileError::Source(error)) => return Err(error.into()),
            _ => {
                return Ok(match self.rebuilt.suspect {
                    Some(index) => fault(FaultKind::Entry, Some(index), None, "it is not what the tiles have"),
                    None => {
                        fault(FaultKind::Root, None, None, "entries and tiles make another root than the signed one")
                    }
                });
            }
        };
        // The open tiles are good; from the top one down they cover the entries from left to right.
        for (level, stored) in levels.iter().enumerate().rev() {
            let index = (size >> (8 * level)) / WIDTH;
            let Some(at) = self.differs(level, index, stored)? else { continue };
            let (mut level, mut position) = (level, index * WIDTH + at);
            while level > 0 {
                let path = TilePath { row: Row::Level(level as u8 - 1), index: position, width: WIDTH as u16 };
                let behind = path.entries_of(0).start..path.entries_of(WIDTH - 1).end;
                let signed = self.signed(level, position, &levels)?;
                let stored = read_hashes(self.source, path).ok().filter(|hashes| Some(hash_perfect(hashes)) == signed);
                let at = match stored {
                    Some(stored) => self.differs(level - 1, position, &stored)?,
                    None => None,
                };
                let Some(at) = at else {
                    let suspect = self.rebuilt.suspect.filter(|index| behind.contains(index));
                    let first = suspect.unwrap_or(behind.start);
                    return Ok(fault(
                        FaultKind::Entry,
                        Some(first),
                        Some(behind.end - 1),
                        "the tile over them was changed too",
                    ));
                };
                (level, position) = (level - 1, position * WIDTH + at);
            }
            return Ok(fault(FaultKind::Entry, Some(position), None, "it is not the entry that was signed"));
        }
        Ok(fault(FaultKind::Root, None, None, "the entries make another root than the signed one"))
    }

    /// The hash at a position that was found good on the way down.
    fn signed(&self, level: usize, position: u64, levels: &[Vec<Digest>]) -> Result<Option<Digest>, VerifyError> {
        let (index, at) = (position / WIDTH, (position % WIDTH) as usize);
        if index == (self.head.size >> (8 * level)) / WIDTH {
            return Ok(levels.get(level).and_then(|hashes| hashes.get(at)).copied());
        }
        let path = TilePath { row: Row::Level(level as u8), index, width: WIDTH as u16 };
        match read_hashes(self.source, path) {
            Ok(hashes) => Ok(hashes.get(at).copied()),
            Err(TileError::Source(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Where the tile that the entries make first differs from a good one.
    fn differs(&self, level: usize, index: u64, good: &[Digest]) -> Result<Option<u64>, VerifyError> {
        let ours = self.tile(level, index)?;
        Ok(good.iter().enumerate().position(|(at, hash)| ours.get(at) != Some(hash)).map(|at| at as u64))
    }

    /// The tile that the entries make.
    fn tile(&self, level: usize, index: u64) -> Result<Vec<Digest>, VerifyError> {
        let start = (index * WIDTH) as usize;
        if level > 0 {
            let hashes = self.rebuilt.above.get(level - 1).and_then(|hashes| hashes.get(start..)).unwrap_or_default();
            return Ok(hashes.iter().take(WIDTH as usize).copied().collect());
        }
        if index == self.head.size / WIDTH {
            return Ok(self.rebuilt.last_tile.clone());
        }
        let path = TilePath { row: Row::Entries, index, width: WIDTH as u16 };
        match read(self.source, path) {
            Ok(bytes) => Ok(decode_entries(path, &bytes).0.into_iter().map(hash_leaf).collect()),
            Err(TileError::Source(error)) => Err(error.into()),
            Err(_) => Ok(Vec::new()),
        }
    }

    fn fault(&mut self, kind: FaultKind, first: Option<u64>, last: Option<u64>, detail: String) {
        self.verdict.faults.push(Fault { kind, first, last, detail });
    }
}

impl Rebuilt {
    /// Takes the hash of a full tile of `level` into the level above.
    fn lift(&mut self, level: usize, hash: Digest) {
        if self.above.len() == level {
            self.above.push(Vec::new());
        }
        self.above[level].push(hash);
        let row = &self.above[level];
        if (row.len() as u64).is_multiple_of(WIDTH) {
            let tile = hash_perfect(&row[row.len() - WIDTH as usize..]);
            self.lift(level + 1, tile);
        }
    }
}

#[cfg(test)]
mod tests;
