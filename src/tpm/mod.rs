//! The TPM: one file per operation; one thread owns it.
//!
//! * `backend`: which TPM it is; `swtpm`: the emulator as a child process, `orphan`: what is left of an earlier one
//! * `open`: a connection with both keys found or made; `keys`: what these keys are
//! * `sign`, `quote`, `pcrs`, `random`: the operations, blocking
//! * `thread`: the thread that owns the connection, asked with a deadline
pub mod backend;
pub mod error;
pub mod keys;
pub mod open;
pub mod orphan;
pub mod pcrs;
pub mod quote;
pub mod random;
pub mod sign;
pub mod swtpm;
pub mod thread;
