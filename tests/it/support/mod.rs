//! What the integration tests share.
pub mod database;
pub mod records;
pub mod service;
//! What several features' tests need.
pub mod audit;
pub mod tpm;
