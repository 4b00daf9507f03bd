//! RFC 6962 tree hashing with SHA-256, and the root of a tree that only grows.
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

/// The perfect subtrees a tree of some size consists of, largest first: all that is needed to grow it and to know its
/// root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Puts a frontier together again from the hashes of its perfect subtrees, largest first.
    /// `None` if their number does not fit the size.
    pub fn from_peaks(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        (size.count_ones() as usize == peaks.len()).then_some(Frontier { size, peaks })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf by its hash.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        // Each trailing one bit of the old size is a peak of equal height to merge with.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = hash_node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The Merkle tree hash, in as many steps as there are perfect subtrees.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => empty_root(),
            Some(last) => peaks.fold(*last, |right, left| hash_node(left, &right)),
        }
    }
}

/// The root of the tree without leaves.
pub fn empty_root() -> Digest {
    Digest(Sha256::digest([]).into())
}

pub fn hash_leaf(leaf: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into())
}

pub fn hash_node(left: &Digest, right: &Digest) -> Digest {
    Digest(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The hash of the perfect subtree over `hashes`, whose number is a power of two.
pub fn hash_perfect(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => empty_root(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            hash_node(&hash_perfect(left), &hash_perfect(right))
        }
    }
}

#[cfg(test)]
pub mod naive {
    //! The definitions of RFC 6962, section 2.1, word for word: what the fast code is compared with.
    use super::{empty_root, hash_leaf, hash_node};
    use crate::ids::Digest;

    pub fn split(n: usize) -> usize {
        n.next_power_of_two() / 2
    }

    pub fn root(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [] => empty_root(),
            [one] => hash_leaf(one),
            more => {
                let (left, right) = more.split_at(split(more.len()));
                hash_node(&root(left), &root(right))
            }
        }
    }

    pub fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Digest> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        if m < left.len() {
            [path(m, left), vec![root(right)]].concat()
        } else {
            [path(m - left.len(), right), vec![root(left)]].concat()
        }
    }

    pub fn consistency(m: usize, leaves: &[Vec<u8>]) -> Vec<Digest> {
        fn sub(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Digest> {
            if m == leaves.len() {
                return if whole { Vec::new() } else { vec![root(leaves)] };
            }
            let (left, right) = leaves.split_at(split(leaves.len()));
            if m <= left.len() {
                [sub(m, left, whole), vec![root(right)]].concat()
            } else {
                [sub(m - left.len(), right, false), vec![root(left)]].concat()
            }
        }
        sub(m, leaves, true)
    }

    pub fn leaves(n: usize) -> Vec<Vec<u8>> {
        (0..n).map(|i| format!("leaf {i}").into_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_tree_has_the_root_of_the_definition_at_every_size() {
        let leaves = naive::leaves(300);
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root(), naive::root(&[]));
        for n in 1..=leaves.len() {
            frontier.push(hash_leaf(&leaves[n - 1]));
            assert_eq!(frontier.root(), naive::root(&leaves[..n]), "at size {n}");
        }
    }

    #[test]
    fn the_known_roots_of_certificate_transparency_come_out() {
        // The test vectors of the Certificate Transparency implementations.
        let leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"];
        let mut frontier = Frontier::default();
        for leaf in leaves {
            frontier.push(hash_leaf(&hex::decode(leaf).expect("hex")));
        }
        assert_eq!(empty_root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(frontier.root().to_string(), "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c");
    }
}
