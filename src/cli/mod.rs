//! The command line: `args` declares it, one file per command asks, `render` prints.
pub mod args;
pub mod render;
