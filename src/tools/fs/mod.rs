//! Tools about files.
pub mod fs_manifest;
pub mod fs_write;
pub mod refused;
pub mod scratch;
pub mod spot;
pub mod state;
pub mod tree;
pub mod undo_store;
pub mod walk;
pub mod write_input;
pub mod write_plan;

#[cfg(test)]
mod write_tests;
