//! What the integration tests share.
pub mod audit;
pub mod database;
pub mod records;
pub mod service;
pub mod tpm;
