//! All integration tests in one binary, one file per feature.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends there and says why")]

mod store;
mod store_actors;
mod store_cluster;
mod store_faults;
mod support;
mod tidy;
