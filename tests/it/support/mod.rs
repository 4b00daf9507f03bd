//! What several features' tests need.
pub mod audit;
pub mod tpm;
