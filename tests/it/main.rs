//! All integration tests in one binary, one file per feature.
mod support;
mod tidy;
mod tpm;
