//! What agents conclude from tool results: one judge per agent, each a pure function.
pub mod finding;
