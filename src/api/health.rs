//! Whether the service can do its work, and what it writes down about itself on its host.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Says only what works, not why something does not: the answer needs no token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    pub ready: bool,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// `database`, `tpm` or `engine`.
    pub name: String,
    pub ok: bool,
}

/// The file `run/service.json` in the data directory: written once the service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceFile {
    pub pid: u32,
    pub url: String,
    pub epoch: String,
    pub version: String,
}
