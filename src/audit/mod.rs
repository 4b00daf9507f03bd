//! The tamper-evident log: what an entry says (`entry`), and the mathematics and formats around it.
pub mod entry;
