//! The unit files of systemd and whether they are enabled, read without a running systemd.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::tools::bundle::Bundle;
use crate::tools::evidence::Entry;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Unread;

/// Kinds of units that start something.
const SUFFIXES: [&str; 4] = [".service", ".socket", ".timer", ".path"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    pub name: String,
    pub path: PathBuf,
    pub enabled: &'static str,
}

impl UnitFile {
    /// A file that can be examined by itself: neither masked, nor another name, nor a template or an instance of one.
    pub fn is_plain_service(&self) -> bool {
        self.name.ends_with(".service")
            && !self.name.contains('@')
            && !matches!(self.enabled, "masked" | "alias" | "masked-runtime")
    }
}

pub fn starts_something(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Where units are looked for, the strongest first: what stands in an earlier directory hides the same name later.
fn directories(reader: &Reader<'_>) -> [(PathBuf, Level); 6] {
    [
        (reader.etc("systemd/system"), Level::Admin),
        (reader.root("run/systemd/system"), Level::Runtime),
        (reader.root("run/systemd/generator"), Level::Generated),
        (reader.root("usr/local/lib/systemd/system"), Level::Vendor),
        (reader.root("usr/lib/systemd/system"), Level::Vendor),
        (reader.root("lib/systemd/system"), Level::Vendor),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Admin,
    Runtime,
    Generated,
    Vendor,
}

/// All unit files by name. Fails when no directory of units can be read.
pub fn read(reader: &mut Reader<'_>) -> Result<Vec<UnitFile>, Unread> {
    let mut bundle = Bundle::new(reader.cx, "unit files of systemd");
    let mut found: BTreeMap<String, (Entry, Level)> = BTreeMap::new();
    let mut wanted: BTreeMap<String, Level> = BTreeMap::new();
    let mut first_failure = None;
    let mut readable = false;
    for (dir, level) in directories(reader) {
        match bundle.list(&dir) {
            Err(Unread::Missing { what }) => {
                first_failure.get_or_insert(Unread::Missing { what });
            }
            Err(unread) => reader.gap("units", &unread),
            Ok(entries) => {
                readable = true;
                for entry in entries {
                    if entry.name.ends_with(".wants") || entry.name.ends_with(".requires") {
                        note_wanted(&mut bundle, &entry, level, &mut wanted);
                    } else if starts_something(&entry.name) && !entry.is_dir {
                        found.entry(entry.name.clone()).or_insert((entry, level));
                    }
                }
            }
        }
    }
    let mut units = Vec::new();
    let mut aliases = BTreeSet::new();
    for (name, (entry, level)) in &found {
        let enabled = match enabled(&mut bundle, entry, *level, wanted.get(name)) {
            Ok(State::Is(state)) => state,
            Ok(State::AliasOf(target)) => {
                if *level == Level::Admin {
                    aliases.insert(target);
                }
                "alias"
            }
            Err(unread) => {
                reader.gap(&format!("units.{name}"), &unread);
                "unknown"
            }
        };
        units.push(UnitFile { name: name.clone(), path: entry.path.clone(), enabled });
    }
    // instances of templates have no file of their own
    for (name, level) in &wanted {
        let template = template_of(name).and_then(|template| found.get(&template));
        if let (false, Some((entry, _))) = (found.contains_key(name), template) {
            units.push(UnitFile { name: name.clone(), path: entry.path.clone(), enabled: by_link(*level) });
        }
    }
    for unit in &mut units {
        if unit.enabled == "disabled" && aliases.contains(&unit.name) {
            unit.enabled = "enabled";
        }
    }
    units.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    match first_failure {
        Some(failure) if !readable => Err(failure),
        _ => Ok(units),
    }
}

/// Links of the vendor are dependencies of a package; links of the administrator or the running system enable.
fn note_wanted(bundle: &mut Bundle, dir: &Entry, level: Level, wanted: &mut BTreeMap<String, Level>) {
    for entry in bundle.list(&dir.path).unwrap_or_default() {
        if starts_something(&entry.name) && matches!(level, Level::Admin | Level::Runtime) {
            wanted.entry(entry.name).or_insert(level);
        }
    }
}

enum State {
    Is(&'static str),
    AliasOf(String),
}

fn enabled(bundle: &mut Bundle, entry: &Entry, level: Level, wanted: Option<&Level>) -> Result<State, Unread> {
    if entry.is_link {
        let target = bundle.link_name(&entry.path)?;
        if target == "null" {
            return Ok(State::Is(if level == Level::Runtime { "masked-runtime" } else { "masked" }));
        }
        if target != entry.name {
            return Ok(State::AliasOf(target));
        }
        // a unit file kept elsewhere and linked in; its text may lie outside of what can be read
        return Ok(State::Is(wanted.map_or("linked", |level| by_link(*level))));
    }
    if let Some(level) = wanted {
        return Ok(State::Is(by_link(*level)));
    }
    let text = bundle.text(&entry.path)?;
    Ok(State::Is(match level {
        Level::Generated => "generated",
        _ if text.is_empty() => "masked",
        _ => from_install(&text),
    }))
}

fn by_link(level: Level) -> &'static str {
    if level == Level::Runtime { "enabled-runtime" } else { "enabled" }
}

/// What a unit that nothing links to says of itself.
fn from_install(text: &str) -> &'static str {
    let install = text.lines().map(str::trim).skip_while(|line| *line != "[Install]").skip(1);
    let mut indirect = false;
    for line in install.take_while(|line| !line.starts_with('[')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        if value.trim().is_empty() {
            continue;
        }
        match key.trim() {
            "WantedBy" | "RequiredBy" | "UpheldBy" | "Alias" => return "disabled",
            "Also" => indirect = true,
            _ => {}
        }
    }
    if indirect { "indirect" } else { "static" }
}

/// `getty@tty1.service` is made from `getty@.service`.
fn template_of(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once('@')?;
    let suffix = Path::new(rest).extension()?.to_str()?;
    Some(format!("{stem}@.{suffix}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn each_way_of_being_enabled_is_told() {
        let cx = FixtureCx::named("latitude");
        let units = read(&mut Reader::new(&cx)).expect("units");
        let state = |name: &str| units.iter().find(|unit| unit.name == name).map(|unit| unit.enabled);
        for (name, expected) in [
            ("cron.service", Some("enabled")),
            ("fwupd.service", Some("static")),
            ("bluetooth.service", Some("masked")),
            ("dbus-org.freedesktop.timesync1.service", Some("alias")),
            ("systemd-timesyncd.service", Some("enabled")),
            ("getty@.service", Some("disabled")),
            ("getty@tty1.service", Some("enabled")),
            ("apt-daily.timer", Some("enabled")),
            ("rescue.service", Some("static")),
            ("tmp.service", Some("generated")),
            ("basic.target", None),
        ] {
            assert_eq!(state(name), expected, "{name}");
        }
    }

    #[test]
    fn no_directory_of_units_is_no_systemd() {
        let cx = FixtureCx::empty();
        assert_eq!(read(&mut Reader::new(&cx)).expect_err("nothing").reason().code, "no_facility");
    }

    #[test]
    fn the_install_section_decides_what_an_unlinked_unit_is() {
        for (text, expected) in [
            ("[Install]\nWantedBy=multi-user.target\n", "disabled"),
            ("[Install]\nAlso=x.socket\n", "indirect"),
            ("[Install]\nWantedBy=\n", "static"),
            ("[Unit]\nWantedBy=x\n", "static"),
            ("[Install]\n[Service]\nAlias=x\n", "static"),
        ] {
            assert_eq!(from_install(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_unit_text_is_survived(text in any::<String>(), name in any::<String>()) {
            prop_assert!(["disabled", "indirect", "static"].contains(&from_install(&text)));
            prop_assert!(template_of(&name).is_none_or(|template| template.contains("@.")));
        }
    }
}
