//! The tamper-evident log: what an entry says (`entry`), and the mathematics and formats around it.
//!
//! * `merkle`: RFC 6962 hashing and the growing tree's root; `proof`: inclusion and consistency proofs
//! * `tile`: C2SP tlog-tiles, the log as files; `growth`: which files an append makes
//! * `note`, `checkpoint`: signed heads (C2SP signed-note, tlog-checkpoint); `tlog_proof`: a proof as a text
//! * `verify`: the offline check of a whole log
//!
//! Nothing here reads a file: a `LogSource` does.
pub mod checkpoint;
pub mod entry;
pub mod growth;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod source;
pub mod tile;
pub mod tlog_proof;
pub mod verdict;
pub mod verify;
