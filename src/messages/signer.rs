//! What can be asked of the signer, the only owner of the TPM.
use actix::Message;

use crate::ids::Digest;
use crate::toolkit::cx::{Quote, Signed, Trust};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the TPM refused `{operation}`: {detail}")]
    Refused { operation: &'static str, detail: String },
    #[error("the TPM did not answer `{operation}` within {waited_ms} ms")]
    Hung { operation: &'static str, waited_ms: u64 },
    #[error("the TPM is gone: {detail}")]
    Gone { detail: String },
    #[error("invalid request: {detail}")]
    Invalid { detail: String },
    /// Certainly not executed.
    #[error("too many requests wait for the TPM; try again")]
    Busy,
}

/// Signs a digest with the log key (ECDSA P-256).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Signed, SignError>")]
pub struct SignDigest(pub Digest);

/// Quotes PCRs of the SHA-256 bank with the attestation key.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Quote, SignError>")]
pub struct QuotePcrs {
    /// At most 64 bytes.
    pub nonce: Vec<u8>,
    pub pcrs: Vec<u8>,
}

/// Reads PCRs of the SHA-256 bank, in ascending order.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<(u8, Digest)>, SignError>")]
pub struct ReadPcrs(pub Vec<u8>);

/// Random bytes of the TPM.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<u8>, SignError>")]
pub struct GetRandom {
    /// At most 4,096.
    pub bytes: usize,
}

/// The public side of the log key, and what stands behind it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<LogKey, SignError>")]
pub struct GetLogKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    pub trust: Trust,
    /// Vendor string of the TPM, for people.
    pub manufacturer: String,
}
