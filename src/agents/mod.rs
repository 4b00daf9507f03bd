//! Agents as data: what one is (`profile`), all of them (`catalog`), and how its steps went (`stats`).
pub mod catalog;
pub mod profile;
pub mod stats;
