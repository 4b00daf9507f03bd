//! What the integration tests share.
pub mod service;
//! What tests stand on: real parts, started for them alone.
pub mod database;
pub mod records;
//! What several features' tests need.
pub mod tpm;
