//! All integration tests in one binary, one file per feature.
mod store;
mod store_cluster;
mod store_faults;
mod support;
mod tidy;
