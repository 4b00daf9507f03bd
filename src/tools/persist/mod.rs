//! Tools about what starts by itself.
pub mod commands;
pub mod persist_list;
pub mod places;
