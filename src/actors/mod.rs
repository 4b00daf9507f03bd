//! The actors and their supervisors.
pub mod auditor;
pub mod child;
pub mod context;
mod entry;
mod envelope;
mod failing;
pub mod home;
mod incarnation;
mod life;
pub mod panics;
pub mod root;
pub mod signer;
pub mod slot;
pub mod supervisor;
pub mod tpm;
mod watch;
