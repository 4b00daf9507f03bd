//! All integration tests in one binary, one file per feature.
#![expect(clippy::expect_used, reason = "a test says what it expected and fails")]
mod crash;
mod faults;
mod journey;
mod support;
// `cfg(test)` tells the lints that the plumbing of tests may unwrap, too.
#[cfg(test)]
mod roster;
// `cfg(test)` tells the lints that the plumbing of tests may unwrap, too.
#[cfg(test)]
mod config;
#[cfg(test)]
mod privileges;
#[cfg(test)]
mod tidy;
