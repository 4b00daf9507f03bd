//! What can be asked of the auditor, keeper of the Merkle log on disk.
use actix::Message;

use crate::audit::entry::Entry;
use crate::ids::Digest;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    #[error("cannot write the audit log: {detail}")]
    Disk { detail: String },
    #[error("the log does not reach index {index}; it has {size} entries")]
    BeyondEnd { index: u64, size: u64 },
    #[error("the head cannot be signed: {detail}")]
    NotSigned { detail: String },
}

/// Makes an entry durable that belongs to no database row: supervision, security, start and stop.
/// It goes through the database when that is up, else through a local write-ahead file.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), AuditError>")]
pub struct Record(pub Entry);

/// Tells the auditor that the store committed entries up to (not including) `size`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct EntriesCommitted {
    pub size: u64,
}

/// The newest signed checkpoint, as the bytes of a signed note.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<SignedHead, AuditError>")]
pub struct GetHead;

/// Answers when a signed head covers `index`, with that head.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<tokio::sync::oneshot::Receiver<SignedHead>, AuditError>")]
pub struct AwaitSealed {
    pub index: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    pub size: u64,
    pub root: Digest,
    pub note: String,
}

/// A C2SP tlog-proof for one entry, against the newest signed head.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<String, AuditError>")]
pub struct GetProof {
    pub index: u64,
}

/// The verifier key: `origin+keyid+base64` as in Go's sumdb note, and the SPKI PEM.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<VerifierKey, AuditError>")]
pub struct GetVerifierKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    pub vkey: String,
    pub pem: String,
}

/// A file of the log: `checkpoint` or `tile/…` (C2SP tlog-tiles paths).
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<Vec<u8>>, AuditError>")]
pub struct GetLogFile {
    pub path: String,
}
