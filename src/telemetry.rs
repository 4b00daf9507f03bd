//! Logs: for people on a terminal, JSON otherwise.
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::log::{LogConfig, LogFormat};

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("cannot write the log file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`{level}` is not a log filter")]
    Filter { level: String, source: tracing_subscriber::filter::ParseError },
    #[error("the log was started twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts the log of this process, once. Call it before privileges are given up, so that root's log file can be
/// opened; it makes no thread.
pub fn start(config: &LogConfig, color: bool) -> Result<(), TelemetryError> {
    match &config.file {
        Some(path) => install(config, Mutex::new(open(path)?), false, false),
        None => install(config, io::stderr, io::stderr().is_terminal(), color),
    }
}

fn install<W>(config: &LogConfig, writer: W, terminal: bool, color: bool) -> Result<(), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    subscriber(config, writer, terminal, color)?.try_init().map_err(TelemetryError::Twice)
}

/// A bare level is meant for this service: libraries that tell every step of theirs stay a level below.
fn quietened(level: &str) -> String {
    let bare = level.chars().all(|c| c.is_ascii_alphabetic());
    if bare && level.eq_ignore_ascii_case("info") {
        format!("{level},tss_esapi=warn,actix_server=warn")
    } else {
        level.to_owned()
    }
}

fn subscriber<W>(
    config: &LogConfig,
    writer: W,
    terminal: bool,
    color: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(quietened(&config.level))
        .map_err(|source| TelemetryError::Filter { level: config.level.clone(), source })?;
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !terminal,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(terminal && color);
    Ok(match json {
        true => Box::new(builder.json().flatten_event(true).finish()),
        false => Box::new(builder.with_target(false).finish()),
    })
}

fn open(path: &Path) -> Result<File, TelemetryError> {
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    file.map_err(|source| TelemetryError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a subscriber of this format writes for one warning and one debug event.
    fn check(format: LogFormat, terminal: bool) -> String {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let config = LogConfig { level: "info".to_owned(), format, file: None };
        let subscriber = subscriber(&config, Mutex::new(open(&path).unwrap()), terminal, false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(agent.id = "PACER", "agent PACER is slow");
            tracing::debug!("not shown");
        });
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn a_terminal_gets_lines_for_people() {
        for text in [check(LogFormat::Auto, true), check(LogFormat::Human, false)] {
            assert!(
                text.contains("WARN agent PACER is slow agent.id=\"PACER\"") && text.lines().count() == 1,
                "{text}"
            );
        }
    }

    #[test]
    fn a_program_gets_one_json_object_a_line() {
        for text in [check(LogFormat::Auto, false), check(LogFormat::Json, true)] {
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&event["level"], &event["agent.id"]), (&"WARN".into(), &"PACER".into()));
            assert_eq!(event["message"], "agent PACER is slow");
        }
    }

    #[test]
    fn a_log_file_that_cannot_be_written_is_named() {
        let error = open(Path::new("/nonexistent/dsmil.log")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/dsmil.log"));
    }
}
