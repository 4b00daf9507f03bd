//! `[log]`: what is logged, how, and where to.
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] = &[
    Key::new("log.level", Shape::Text, "info"),
    Key::new("log.format", Shape::Text, "auto"),
    Key::new("log.file", Shape::Path, ""),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A filter of `tracing`: `info`, or `warn,dsmil::store=debug`. Checked when it was read.
    pub level: String,
    pub format: LogFormat,
    /// None: standard error.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}

impl LogConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let level = layers.parse("log.level", |text| match text {
            "" => {
                Err("must be off, error, warn, info, debug or trace, or a filter such as warn,dsmil=debug".to_owned())
            }
            _ => EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|e| e.to_string()),
        });
        let format = layers.parse("log.format", |text| match text {
            "auto" => Ok(LogFormat::Auto),
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be auto, human or json"),
        });
        let file = layers.path_or_none("log.file");
        Some(LogConfig { level: level?, format: format?, file: file? })
    }
}
