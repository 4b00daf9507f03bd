//! The TPM: one file per operation; one thread owns it.
