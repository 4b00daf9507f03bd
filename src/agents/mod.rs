//! Agents as data: what one is (`profile`), and all of them (`catalog`).
pub mod catalog;
pub mod profile;
