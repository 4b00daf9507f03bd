//! Agents as data: what one is (`profile`), all of them (`catalog`), and how its steps went (`stats`).
//! Agents as data: what one is (`profile`), how its file is read (`front_matter`, `parse`, `fault`, `duration`), all of
//! them (`catalog`), and the page that tells people about them (`page`).
pub mod catalog;
pub mod fault;
mod front_matter;
pub mod page;
mod parse;
pub mod profile;
pub mod stats;
