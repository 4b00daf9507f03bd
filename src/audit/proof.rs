//! Inclusion and consistency proofs of RFC 6962, made from a reader of perfect subtrees and checked from nothing.
use crate::audit::merkle::hash_node;
use crate::ids::Digest;

/// The perfect subtree over the leaves `index << level .. (index + 1) << level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAt {
    pub level: u32,
    pub index: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("index {index} is not in a tree of {size} entries")]
    OutOfTree { index: u64, size: u64 },
    #[error("a tree of {old} entries is not the start of one of {new}")]
    NotASmallerTree { old: u64, new: u64 },
    #[error("the proof has {found} hashes where {wanted} are needed")]
    Length { wanted: usize, found: usize },
    #[error("the proof leads to another root")]
    OtherRoot,
}

/// The hash of the leaves `from..to` of a tree, which must be a subtree as RFC 6962 splits it.
fn subtree<E>(from: u64, to: u64, read: &mut impl FnMut(NodeAt) -> Result<Digest, E>) -> Result<Digest, E> {
    let width = to - from;
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        return read(NodeAt { level, index: from >> level });
    }
    let middle = from + split(width);
    Ok(hash_node(&subtree(from, middle, read)?, &subtree(middle, to, read)?))
}

/// The largest power of two below `n`, for `n` of at least 2.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The path from leaf `index` to the root of the tree of `size` leaves.
pub fn inclusion<E: From<ProofError>>(
    index: u64,
    size: u64,
    read: &mut impl FnMut(NodeAt) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    if index >= size {
        return Err(ProofError::OutOfTree { index, size }.into());
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(subtree(middle, to, read)?);
            to = middle;
        } else {
            path.push(subtree(from, middle, read)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is the start of the tree of `new` leaves.
pub fn consistency<E: From<ProofError>>(
    old: u64,
    new: u64,
    read: &mut impl FnMut(NodeAt) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    if old == 0 || old > new {
        return Err(ProofError::NotASmallerTree { old, new }.into());
    }
    let (mut from, mut to) = (0, new);
    let mut path = Vec::new();
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(subtree(middle, to, read)?);
            to = middle;
        } else {
            path.push(subtree(from, middle, read)?);
            from = middle;
        }
    }
    // The old tree itself needs no hash: its verifier has the root.
    if from > 0 {
        path.push(subtree(from, to, read)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks an inclusion proof against a root.
pub fn check_inclusion(leaf: Digest, index: u64, size: u64, path: &[Digest], root: Digest) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfTree { index, size });
    }
    // Steps below the point where the path joins the right edge of the tree, and on the edge only the left siblings.
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let edge = (index.checked_shr(inner).unwrap_or(0)).count_ones();
    expect_length(path, (inner + edge) as usize)?;
    let (below, above) = path.split_at(inner as usize);
    let hash = below.iter().enumerate().fold(leaf, |hash, (level, sibling)| {
        if index >> level & 1 == 0 { hash_node(&hash, sibling) } else { hash_node(sibling, &hash) }
    });
    let found = above.iter().fold(hash, |hash, sibling| hash_node(sibling, &hash));
    if found == root { Ok(()) } else { Err(ProofError::OtherRoot) }
}

/// Checks that the tree `(old, old_root)` is the start of the tree `(new, new_root)`.
pub fn check_consistency(
    (old, old_root): (u64, Digest),
    (new, new_root): (u64, Digest),
    path: &[Digest],
) -> Result<(), ProofError> {
    if old == 0 || old > new {
        return Err(ProofError::NotASmallerTree { old, new });
    }
    if old == new {
        expect_length(path, 0)?;
        return if old_root == new_root { Ok(()) } else { Err(ProofError::OtherRoot) };
    }
    let shift = old.trailing_zeros();
    let inner = u64::BITS - ((old - 1) ^ (new - 1)).leading_zeros() - shift;
    let edge = ((old - 1).checked_shr(inner + shift).unwrap_or(0)).count_ones();
    // A perfect old tree is its own first hash.
    let given = usize::from(!old.is_power_of_two());
    expect_length(path, given + (inner + edge) as usize)?;
    let (seed, rest) = if given == 1 { (path[0], &path[1..]) } else { (old_root, path) };
    let (below, above) = rest.split_at(inner as usize);
    let (mut first, mut second) = (seed, seed);
    for (level, sibling) in below.iter().enumerate() {
        if (old - 1) >> (shift as usize + level) & 1 == 1 {
            first = hash_node(sibling, &first);
            second = hash_node(sibling, &second);
        } else {
            second = hash_node(&second, sibling);
        }
    }
    for sibling in above {
        first = hash_node(sibling, &first);
        second = hash_node(sibling, &second);
    }
    if first == old_root && second == new_root { Ok(()) } else { Err(ProofError::OtherRoot) }
}

fn expect_length(path: &[Digest], wanted: usize) -> Result<(), ProofError> {
    if path.len() == wanted { Ok(()) } else { Err(ProofError::Length { wanted, found: path.len() }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::merkle::hash_leaf;
    use crate::audit::merkle::naive;

    fn reader(leaves: &[Vec<u8>]) -> impl FnMut(NodeAt) -> Result<Digest, ProofError> {
        |node| {
            let (from, to) = (node.index << node.level, (node.index + 1) << node.level);
            Ok(naive::root(&leaves[from as usize..to as usize]))
        }
    }

    proptest! {
        #[test]
        fn an_inclusion_proof_is_the_one_of_the_definition_and_convinces(n in 1usize..300, pick in any::<prop::sample::Index>()) {
            let leaves = naive::leaves(n);
            let m = pick.index(n);
            let path = inclusion(m as u64, n as u64, &mut reader(&leaves)).expect("in the tree");
            prop_assert_eq!(&path, &naive::path(m, &leaves));
            let (leaf, root) = (hash_leaf(&leaves[m]), naive::root(&leaves));
            prop_assert_eq!(check_inclusion(leaf, m as u64, n as u64, &path, root), Ok(()));
        }

        #[test]
        fn an_inclusion_proof_convinces_for_nothing_else(n in 2usize..200, pick in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()) {
            let leaves = naive::leaves(n);
            let (m, wrong) = (pick.index(n), other.index(n));
            let path = naive::path(m, &leaves);
            let (leaf, root) = (hash_leaf(&leaves[m]), naive::root(&leaves));
            prop_assert!(check_inclusion(hash_leaf(b"forged"), m as u64, n as u64, &path, root).is_err());
            if wrong != m {
                prop_assert!(check_inclusion(leaf, wrong as u64, n as u64, &path, root).is_err());
            }
            for i in 0..path.len() {
                let mut bent = path.clone();
                bent[i].0[0] ^= 1;
                prop_assert!(check_inclusion(leaf, m as u64, n as u64, &bent, root).is_err());
            }
            prop_assert!(check_inclusion(leaf, m as u64, n as u64, &path[1..], root).is_err());
        }

        #[test]
        fn a_consistency_proof_is_the_one_of_the_definition_and_convinces(n in 1usize..300, pick in any::<prop::sample::Index>()) {
            let leaves = naive::leaves(n);
            let m = pick.index(n) + 1;
            let path = consistency(m as u64, n as u64, &mut reader(&leaves)).expect("a smaller tree");
            prop_assert_eq!(&path, &naive::consistency(m, &leaves));
            let (old, new) = (naive::root(&leaves[..m]), naive::root(&leaves));
            prop_assert_eq!(check_consistency((m as u64, old), (n as u64, new), &path), Ok(()));
            let mut forged = leaves.clone();
            forged[m - 1] = b"forged".to_vec();
            let lie = naive::root(&forged[..m]);
            prop_assert!(check_consistency((m as u64, lie), (n as u64, new), &path).is_err());
            prop_assert!(check_consistency((m as u64, old), (n as u64, lie), &path).is_err());
        }
    }

    #[test]
    fn what_is_not_in_the_tree_has_no_proof() {
        let leaves = naive::leaves(3);
        assert_eq!(inclusion(3, 3, &mut reader(&leaves)), Err(ProofError::OutOfTree { index: 3, size: 3 }));
        assert_eq!(consistency(4, 3, &mut reader(&leaves)), Err(ProofError::NotASmallerTree { old: 4, new: 3 }));
    }
}
