//! Tools about what the service has learned of itself.
pub mod learn_stats;
