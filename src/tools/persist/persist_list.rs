//! `persist.list`: everything that starts by itself, with its owner, its package and when it changed.
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::toolkit::cx::{Roots, ToolCx};
use crate::toolkit::output::{Output, Reason};
use crate::toolkit::spec::{Tool, ToolSpec};
use crate::tools::bundle::Bundle;
use crate::tools::evidence::{Reader, Unread};
use crate::tools::input;
use crate::tools::persist::commands;
use crate::tools::persist::places::{self, CLASSES, Class, Form, Place};
use crate::tools::pkg::dpkg::Owners;
use crate::tools::redact;
use crate::tools::schema;

/// A command line for people; the whole of it is in the file.
const SHOWN: usize = 400;
/// The list of one package's files; linux-headers has the longest, at some megabytes.
const LIST_CAP: usize = 32 << 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// All of them, if left out.
    #[serde(default)]
    classes: Option<Vec<Class>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Data {
    items: Vec<Item>,
    /// Files and directories that were looked at, also where nothing was found.
    looked_at: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Item {
    class: Class,
    path: String,
    /// Numeric `uid:gid` of the file.
    owner: String,
    command_redacted: String,
    /// The package that owns the file; null if none does; left out where no package database could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pkg: Option<Option<String>>,
    changed_at: Option<String>,
    /// Of a unit: the link that makes it start.
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled_by: Option<String>,
}

pub struct PersistList;

impl Tool for PersistList {
    fn spec(&self) -> ToolSpec {
        let what = "Everything that starts by itself";
        schema::read_only::<Input, Data>("persist.list", what, "root for user crontabs", Duration::from_secs(60))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        input::parse(input).and_then(|input: Input| list(cx, &input)).unwrap_or_else(|refusal| *refusal)
    }
}

fn list(cx: &ToolCx, input: &Input) -> Result<Output, Box<Output>> {
    let wanted = input.classes.as_deref().unwrap_or(&CLASSES);
    let mut reader = Reader::new(cx);
    let mut bundle = Bundle::new(cx, "start-up files");
    let (mut items, mut looked_at) = (Vec::new(), Vec::new());
    for place in places::all(&cx.roots).into_iter().filter(|place| wanted.contains(&place.class)) {
        cx.go_on()?;
        looked_at.push(place.path.display().to_string());
        match look(&mut bundle, &place) {
            Ok(found) => items.extend(found),
            // Nothing is there: zero items, and `looked_at` tells that somebody looked.
            Err(Unread::Missing { .. }) => {}
            Err(unread) => reader.gap("items", &unread),
        }
    }
    if wanted.iter().any(|class| matches!(class, Class::SystemdUnit | Class::SystemdTimer)) {
        let dirs = places::unit_dirs(&cx.roots);
        looked_at.extend(dirs.iter().map(|dir| dir.display().to_string()));
        items.extend(units(&mut bundle, &cx.roots, &dirs).into_iter().filter(|item| wanted.contains(&item.class)));
    }
    if let Some(evidence) = bundle.into_evidence(cx) {
        reader.push(evidence);
    }
    own(&mut reader, &mut items)?;
    Ok(reader.finish(Data { items, looked_at }))
}

fn look(bundle: &mut Bundle, place: &Place) -> Result<Vec<Item>, Unread> {
    let meta = std::fs::metadata(&place.path).map_err(|error| Unread::from_io(&place.path, &error))?;
    if !meta.is_dir() {
        return Ok(item(bundle, place, &place.path)?.into_iter().collect());
    }
    let mut items = Vec::new();
    for entry in bundle.list(&place.path)? {
        // cron and init skip what has a dot in front; `README` and `.placeholder` start nothing.
        let counts = !entry.is_dir
            && !entry.name.starts_with('.')
            && entry.name != "README"
            && entry.name.ends_with(place.ending);
        if counts {
            items.extend(item(bundle, place, &entry.path)?);
        }
    }
    Ok(items)
}

/// None: the file starts nothing.
fn item(bundle: &mut Bundle, place: &Place, path: &Path) -> Result<Option<Item>, Unread> {
    let text = match bundle.text(path) {
        Ok(text) => text,
        // A link whose target is gone starts nothing.
        Err(Unread::Missing { .. }) => return Ok(None),
        Err(unread) => return Err(unread),
    };
    let runs = match place.form {
        Form::SystemCrontab => commands::of_crontab(&text, true),
        Form::UserCrontab => commands::of_crontab(&text, false),
        Form::Script => vec![path.display().to_string()],
        Form::UdevRules => commands::of_udev(&text),
        Form::Lines => commands::of_lines(&text),
        Form::Desktop => commands::of_keys(&text, &["Exec"]),
    };
    Ok((!runs.is_empty()).then(|| described(place.class, path, &runs, None)))
}

fn described(class: Class, path: &Path, runs: &[String], enabled_by: Option<String>) -> Item {
    let meta = std::fs::metadata(path).ok();
    let owner = meta.as_ref().map_or_else(String::new, |meta| format!("{}:{}", meta.uid(), meta.gid()));
    let changed_at = meta.and_then(|meta| DateTime::from_timestamp(meta.mtime(), 0)).map(|time| time.to_rfc3339());
    let shown: String = runs.join("; ").chars().take(SHOWN).collect();
    Item {
        class,
        path: path.display().to_string(),
        owner,
        command_redacted: redact::redact(&shown),
        pkg: None,
        changed_at,
        enabled_by,
    }
}

/// Units that a link in a `.wants` or `.requires` directory starts, and units that an administrator wrote.
fn units(bundle: &mut Bundle, roots: &Roots, dirs: &[PathBuf]) -> Vec<Item> {
    let mut starting: BTreeMap<PathBuf, Option<String>> = BTreeMap::new();
    for dir in dirs {
        for entry in bundle.list(dir).unwrap_or_default() {
            if entry.is_dir && (entry.name.ends_with(".wants") || entry.name.ends_with(".requires")) {
                for link in bundle.list(&entry.path).unwrap_or_default() {
                    if let Some(unit) = find_unit(dirs, &link.name) {
                        starting.entry(unit).or_insert_with(|| Some(link.path.display().to_string()));
                    }
                }
            } else if !entry.is_dir && !entry.is_link && dir.starts_with(&roots.etc) && is_unit(&entry.name) {
                starting.entry(entry.path).or_insert(None);
            }
        }
    }
    let mut items = Vec::new();
    for (unit, enabled_by) in starting {
        let class = if unit.extension().is_some_and(|ending| ending == "timer") {
            Class::SystemdTimer
        } else {
            Class::SystemdUnit
        };
        let Ok(text) = bundle.text(&unit) else { continue };
        let keys = [
            "ExecStartPre",
            "ExecStart",
            "ExecStartPost",
            "OnCalendar",
            "OnBootSec",
            "OnUnitActiveSec",
            "ListenStream",
        ];
        items.push(described(class, &unit, &commands::of_keys(&text, &keys), enabled_by));
    }
    items
}

fn is_unit(name: &str) -> bool {
    [".service", ".timer", ".socket", ".path"].iter().any(|ending| name.ends_with(ending))
}

/// The file of a unit: `getty@tty1.service` is an instance of `getty@.service`.
fn find_unit(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    let template = name.split_once('@').and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    let names = [Some(name.to_owned()), template];
    let found =
        names.iter().flatten().find_map(|name| dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file()))?;
    is_unit(name).then_some(found)
}

/// Asks dpkg's lists who owns the files.
fn own(reader: &mut Reader<'_>, items: &mut [Item]) -> Result<(), Box<Output>> {
    let info = reader.var("lib/dpkg/info");
    let mut bundle = Bundle::new(reader.cx, format!("{}/*.list", info.display()));
    let lists = match bundle.list(&info) {
        Ok(lists) => lists,
        Err(unread) => {
            let reason = Reason { detail: format!("who owns a file was not asked: {unread}"), ..unread.reason() };
            reader.gap_because("items[].pkg", reason);
            return Ok(());
        }
    };
    let logical: Vec<String> = items.iter().map(|item| logical(&reader.cx.roots, &item.path)).collect();
    let mut owners = Owners::of(logical.iter().map(String::as_str));
    for list in lists.iter().filter(|list| list.name.ends_with(".list")) {
        reader.cx.go_on()?;
        match bundle.bytes(&list.path, LIST_CAP) {
            Ok(raw) => owners.feed(list.name.trim_end_matches(".list"), &String::from_utf8_lossy(&raw.bytes)),
            Err(unread) => reader.gap("items[].pkg", &unread),
        }
    }
    for (item, path) in items.iter_mut().zip(&logical) {
        item.pkg = Some(owners.get(path).map(str::to_owned));
    }
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    Ok(())
}

/// The name of a file on the host, where a fixture tree stands in for it.
fn logical(roots: &Roots, path: &str) -> String {
    let path = Path::new(path);
    if let Ok(below) = path.strip_prefix(&roots.etc) {
        return format!("/etc/{}", below.display());
    }
    path.strip_prefix(&roots.root).map_or_else(|_| path.display().to_string(), |below| format!("/{}", below.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;

    fn host() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temp dir");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            fs::write(path, text).expect("write");
        };
        write("etc/cron.d/job", "5 * * * * root /opt/job --token=abcdef\n");
        write("etc/ld.so.preload", "/opt/hook.so\n");
        write("etc/systemd/system/own.service", "[Service]\nExecStart=/opt/own\n");
        write("usr/lib/systemd/system/cron.service", "[Service]\nExecStart=/usr/sbin/cron -f\n");
        write("usr/lib/systemd/system/idle.service", "[Service]\nExecStart=/usr/sbin/idle\n");
        write("usr/lib/systemd/system/getty@.service", "[Service]\nExecStart=/sbin/agetty\n");
        write("var/lib/dpkg/info/cron.list", "/.\n/lib/systemd/system/cron.service\n");
        let wants = dir.path().join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).expect("mkdir");
        symlink("/usr/lib/systemd/system/cron.service", wants.join("cron.service")).expect("link");
        symlink("/usr/lib/systemd/system/getty@.service", wants.join("getty@tty1.service")).expect("link");
        dir
    }

    fn brief(output: &Output) -> BTreeMap<String, (String, Value)> {
        let name = |item: &Value| {
            item["path"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned()
        };
        let items = output.data["items"].as_array().expect("items");
        items
            .iter()
            .map(|item| (name(item), (item["class"].as_str().unwrap_or_default().to_owned(), item["pkg"].clone())))
            .collect()
    }

    #[test]
    fn what_starts_is_listed_with_its_package_and_what_does_not_is_left_out() {
        let dir = host();
        let output = PersistList.call(&FixtureCx::at(dir.path()), &Value::Null);
        assert_eq!(output.status, Status::Ok, "{output:?}");
        let expected = [
            ("cron.service", "systemd_unit", json!("cron")),
            ("getty@.service", "systemd_unit", Value::Null),
            ("job", "cron", Value::Null),
            ("ld.so.preload", "ld_preload", Value::Null),
            ("own.service", "systemd_unit", Value::Null),
        ];
        let expected = expected.map(|(name, class, pkg)| (name.to_owned(), (class.to_owned(), pkg)));
        assert_eq!(brief(&output), BTreeMap::from(expected));
        assert!(!output.data.to_string().contains("abcdef"), "a secret on a command line is not shown");
    }

    #[test]
    fn classes_can_be_chosen() {
        let dir = host();
        let output = PersistList.call(&FixtureCx::at(dir.path()), &json!({"classes": ["cron"]}));
        assert_eq!(brief(&output).len(), 1);
    }

    #[test]
    fn without_a_package_database_ownership_is_left_out() {
        let dir = host();
        fs::remove_dir_all(dir.path().join("var/lib/dpkg")).expect("remove");
        let output = PersistList.call(&FixtureCx::at(dir.path()), &Value::Null);
        assert_eq!(output.status, Status::Degraded);
        assert!(output.data["items"][0].get("pkg").is_none());
    }
}
