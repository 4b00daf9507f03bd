//! What several features' tests need.
pub mod tpm;
