//! Tools about files.
pub mod fs_manifest;
pub mod tree;
pub mod walk;
