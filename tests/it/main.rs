//! All integration tests in one binary, one file per feature.
mod supervision;
mod tidy;
