//! Tools about the TPM.
pub mod quote;
pub mod tpm_attest;
