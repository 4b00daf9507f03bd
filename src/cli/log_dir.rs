//! An audit log in a directory: what `dsmil audit verify` reads.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::audit::source::LogSource;
use crate::audit::source::SourceError;

pub struct LogDir(PathBuf);

impl LogDir {
    pub fn new(dir: &Path) -> Self {
        LogDir(dir.to_owned())
    }
}

impl LogSource for LogDir {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let file = self.0.join(path);
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(SourceError { path: file.display().to_string(), cause }),
        }
    }
}
