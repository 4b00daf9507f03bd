//! C2SP tlog-proof: one text that proves an entry to be in a signed log, without asking anyone.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::audit::checkpoint::BadCheckpoint;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::NoteError;
use crate::audit::note::NoteKey;
use crate::audit::proof::ProofError;
use crate::audit::proof::check_inclusion;
use crate::ids::Digest;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    pub index: u64,
    pub path: Vec<Digest>,
    /// The signed note.
    pub checkpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    #[error("this is not a tlog-proof: {rule}")]
    Shape { rule: &'static str },
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error(transparent)]
    Checkpoint(#[from] BadCheckpoint),
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl TlogProof {
    pub fn text(&self) -> String {
        let path: String = self.path.iter().map(|hash| STANDARD.encode(hash.0) + "\n").collect();
        format!("{HEADER}\nindex {}\n{path}\n{}", self.index, self.checkpoint)
    }

    /// Reads the text form. Extra data is passed over: nothing signs it.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let fail = |rule| TlogProofError::Shape { rule };
        let (head, checkpoint) = text.split_once("\n\n").ok_or(fail("it holds no checkpoint"))?;
        let mut lines = head.lines().peekable();
        if lines.next() != Some(HEADER) {
            return Err(fail("its first line does not name the format"));
        }
        lines.next_if(|line| line.starts_with("extra "));
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(fail("it names no index"))?;
        let number: u64 = index.parse().map_err(|_| fail("its index is not a number"))?;
        if number.to_string() != index {
            return Err(fail("its index is not written plainly"));
        }
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let path: Option<Vec<Digest>> = lines.map(|line| hash(line).map(Digest)).collect();
        let path = path.ok_or(fail("a line is not the base64 of a SHA-256 hash"))?;
        Ok(TlogProof { index: number, path, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that an entry with this leaf hash stands at the proof's index of a log whose head `key` signed.
    pub fn check(&self, leaf: Digest, key: &NoteKey) -> Result<Checkpoint, TlogProofError> {
        let head = Checkpoint::parse(key.open(&self.checkpoint)?)?;
        check_inclusion(leaf, self.index, head.size, &self.path, head.root)?;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::merkle::hash_leaf;
    use crate::audit::merkle::naive;
    use crate::audit::note::signing::Pair;

    fn proof(index: usize) -> (TlogProof, Pair) {
        let (pair, leaves) = (Pair::new("dsmil/n1", 3), naive::leaves(9));
        let head = Checkpoint { origin: "dsmil/n1".into(), size: 9, root: naive::root(&leaves) };
        let checkpoint = pair.sign(&head.text());
        (TlogProof { index: index as u64, path: naive::path(index, &leaves), checkpoint }, pair)
    }

    #[test]
    fn a_proof_survives_its_text_form_and_convinces() {
        let (proof, pair) = proof(4);
        let read = TlogProof::parse(&proof.text()).expect("a proof");
        assert_eq!(read, proof);
        assert_eq!(read.check(hash_leaf(b"leaf 4"), &pair.1).expect("convincing").size, 9);
        assert!(read.check(hash_leaf(b"leaf 5"), &pair.1).is_err());
        assert!(read.check(hash_leaf(b"leaf 4"), &Pair::new("dsmil/n1", 4).1).is_err());
    }

    #[test]
    fn extra_data_is_passed_over_and_other_texts_are_refused() {
        let (proof, _) = proof(8);
        let text = proof.text();
        assert_eq!(TlogProof::parse(&text.replacen("\nindex", "\nextra AAAA\nindex", 1)), Ok(proof));
        for bad in ["", "x", &text.replacen("index 8", "index 08", 1), &text.replacen("@v1", "@v2", 1)] {
            assert!(TlogProof::parse(bad).is_err(), "{bad}");
        }
    }
}
