//! The actors and their supervisors.
pub mod child;
pub mod context;
mod entry;
mod envelope;
mod failing;
pub mod home;
mod incarnation;
mod life;
pub mod panics;
pub mod postgres;
pub mod root;
pub mod slot;
pub mod store_reader;
pub mod store_writer;
pub mod supervisor;
mod watch;
