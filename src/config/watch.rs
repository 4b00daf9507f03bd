//! `[watch]`: monitors, alerts and automatic actions.
use std::path::PathBuf;
use std::time::Duration;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;
use crate::recovery::plan::Mode;

pub const KEYS: &[Key] = &[
    Key::new("watch.interval_ms", Shape::Whole, "1000"),
    Key::new("watch.alerts_file", Shape::Path, ""),
    Key::new("watch.actions", Shape::Text, "on"),
    Key::new("watch.hold_s", Shape::Whole, "10"),
    Key::new("watch.webhook", Shape::Text, ""),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchConfig {
    /// Between two readings.
    pub interval: Duration,
    /// Rules to use instead of the built-in ones.
    pub alerts_file: Option<PathBuf>,
    pub actions: Mode,
    /// Without a call for it, before a measure is taken back by one step.
    pub hold: Duration,
    /// Where alerts are posted to.
    pub webhook: Option<String>,
}

impl WatchConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let interval = layers.whole("watch.interval_ms", 100, 60_000).map(Duration::from_millis);
        let alerts_file = layers.path_or_none("watch.alerts_file");
        let actions = layers.parse("watch.actions", |text| match text {
            "on" => Ok(Mode::On),
            "off" => Ok(Mode::Off),
            "dry_run" => Ok(Mode::DryRun),
            _ => Err("it may be on, off or dry_run"),
        });
        let hold = layers.whole("watch.hold_s", 1, 3600).map(Duration::from_secs);
        let webhook = layers.parse("watch.webhook", |text| {
            let is_http = text.strip_prefix("http://").is_some_and(|rest| !rest.is_empty());
            match text {
                "" => Ok(None),
                url if is_http => Ok(Some(url.to_owned())),
                _ => Err("it must be an address that begins with http://"),
            }
        });
        Some(WatchConfig {
            interval: interval?,
            alerts_file: alerts_file?,
            actions: actions?,
            hold: hold?,
            webhook: webhook?,
        })
    }
}
