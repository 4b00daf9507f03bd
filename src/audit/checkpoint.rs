//! C2SP tlog-checkpoint: the text of a signed head.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ids::Digest;
use crate::ids::NodeId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a checkpoint: {rule}")]
pub struct BadCheckpoint {
    pub rule: &'static str,
}

/// The name of a node's log.
pub fn origin(node: &NodeId) -> String {
    format!("dsmil/{node}")
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads the text of a note. Lines after the third are extensions, which say nothing about the tree.
    pub fn parse(text: &str) -> Result<Self, BadCheckpoint> {
        let fail = |rule| BadCheckpoint { rule };
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(fail("it has fewer than three lines"));
        };
        let number: u64 = size.parse().map_err(|_| fail("its second line is not a size"))?;
        if origin.is_empty() || number.to_string() != size {
            return Err(fail("its origin is empty or its size is not written plainly"));
        }
        let root = STANDARD.decode(root).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = root.ok_or(fail("its third line is not the base64 of a SHA-256 hash"))?;
        Ok(Checkpoint { origin: origin.to_owned(), size: number, root: Digest(root) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_its_text_form() {
        let head = Checkpoint { origin: "dsmil/n1".into(), size: 20_852_163, root: Digest([9; 32]) };
        assert_eq!(Checkpoint::parse(&head.text()), Ok(head.clone()));
        assert!(Checkpoint::parse(&head.text().replace("\n2", "\n02")).is_err());
        assert!(Checkpoint::parse("a\n1\n").is_err());
        assert!(Checkpoint::parse("a\n1\nAAAA\n").is_err());
    }
}
