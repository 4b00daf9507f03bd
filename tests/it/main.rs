//! All integration tests in one binary, one file per feature.
mod roster;
mod tidy;
