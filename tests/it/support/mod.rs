//! What tests stand on: real parts, started for them alone.
pub mod database;
pub mod records;
