//! Where the files of a log come from: a directory, a database, a test.

/// A file of the log could not be read, for another reason than that it is not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{path}` of the log")]
pub struct SourceError {
    pub path: String,
    #[source]
    pub cause: std::io::Error,
}

/// Reads the files of a log by their C2SP paths: `checkpoint`, `tile/0/000`, `tile/entries/000.p/7` ...
pub trait LogSource {
    /// The content, or `None` if there is no such file.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError>;
}

/// A log in memory, as an export or a test has it.
impl LogSource for std::collections::BTreeMap<String, Vec<u8>> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.get(path).cloned())
    }
}
