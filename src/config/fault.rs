//! Everything that can be wrong with a configuration; all of it is reported at once.
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::source::Origin;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{origin}: not TOML: {what}")]
    Syntax { origin: Origin, what: String },
    #[error("{origin}: unknown key `{key}`; did you mean `{nearest}`?")]
    Unknown { key: String, origin: Origin, nearest: String },
    #[error("{origin}: `{key}` must be {expected}, found {found}")]
    WrongType { key: &'static str, origin: Origin, expected: &'static str, found: &'static str },
    #[error("{origin}: `{key}` = `{value}`: {why}")]
    BadValue { key: &'static str, origin: Origin, value: String, why: String },
}

/// All faults of one configuration.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigErrors(faults) = self;
        write!(f, "the configuration has {}", if faults.len() == 1 { "a fault" } else { "faults" })?;
        for fault in faults {
            write!(f, "\n  {fault}")?;
            // Printed here, since a list has no single source.
            if let ConfigError::Unreadable { source, .. } = fault {
                write!(f, ": {source}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
