//! All integration tests in one binary, one file per feature.
#[cfg(test)]
mod audit;
#[cfg(test)]
mod support;
mod tidy;
mod tpm;
