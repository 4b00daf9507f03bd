//! All integration tests in one binary, one file per feature.
#![expect(clippy::expect_used, reason = "a test says what it expected and fails")]
// `cfg(test)` tells the lints that the plumbing of tests may unwrap, too.
#[cfg(test)]
mod config;
mod crash;
mod faults;
mod journey;
mod privileges;
mod roster;
#![expect(clippy::expect_used, reason = "a test that cannot go on ends there and says why")]

mod store;
mod store_cluster;
mod store_faults;
#[cfg(test)]
mod support;
mod supervision;
mod tidy;
mod tpm;
