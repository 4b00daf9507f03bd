//! Tools about file systems and block devices.
pub mod mountinfo;
pub mod storage_map;
