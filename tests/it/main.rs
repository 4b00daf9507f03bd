//! All integration tests in one binary, one file per feature.
// `cfg(test)` tells the lints that the plumbing of tests may unwrap, too.
#[cfg(test)]
mod config;
#[cfg(test)]
mod privileges;
mod roster;
#[cfg(test)]
mod tidy;
