//! SHA-256 (FIPS 180-4) of many messages, plain or as the leaves and nodes of a Merkle tree (RFC 6962, section 2.1).
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Sha256,
    /// Each message is the data of a leaf.
    MerkleLeaf,
    /// Each message is the hashes of two children, one after the other.
    MerkleNode,
}

impl Operation {
    /// What is hashed before each message, so that a leaf can never pass for a node.
    fn prefix(self) -> Option<u8> {
        match self {
            Operation::Sha256 => None,
            Operation::MerkleLeaf => Some(0),
            Operation::MerkleNode => Some(1),
        }
    }
}

/// Messages of one caller; their digests come back in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub operation: Operation,
    pub messages: Vec<Vec<u8>>,
}

impl Job {
    pub fn new(operation: Operation, messages: Vec<Vec<u8>>) -> Self {
        Job { operation, messages }
    }

    pub fn bytes(&self) -> usize {
        self.messages.iter().map(Vec::len).sum()
    }

    pub fn digests(&self) -> Vec<Digest> {
        let prefix = self.operation.prefix();
        let digest = |message: &Vec<u8>| {
            let mut hasher = Sha256::new();
            if let Some(prefix) = prefix {
                hasher.update([prefix]);
            }
            hasher.update(message);
            Digest(hasher.finalize().into())
        };
        self.messages.iter().map(digest).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::merkle::{hash_leaf, hash_node};

    #[test]
    fn the_examples_of_the_standard_come_out() {
        // FIPS 180-2, appendix B, and the digest of nothing.
        let table = [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ];
        let messages = table.iter().map(|(text, _)| text.as_bytes().to_vec()).collect();
        let digests = Job::new(Operation::Sha256, messages).digests();
        for (digest, (text, expected)) in digests.iter().zip(table) {
            assert_eq!(digest.to_string(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn leaves_and_nodes_are_those_of_the_log(
            leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            pair in any::<([u8; 32], [u8; 32])>(),
        ) {
            let expected: Vec<Digest> = leaves.iter().map(|leaf| hash_leaf(leaf)).collect();
            prop_assert_eq!(Job::new(Operation::MerkleLeaf, leaves).digests(), expected);
            let (left, right) = (Digest(pair.0), Digest(pair.1));
            let node = Job::new(Operation::MerkleNode, vec![[pair.0, pair.1].concat()]);
            prop_assert_eq!(node.digests(), [hash_node(&left, &right)]);
        }
    }
}
