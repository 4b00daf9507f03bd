//! `pkg.inventory`: what is installed, by every package manager whose records can be read without running it.
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::spec::{Tool, ToolSpec};
use crate::tools::bundle::Bundle;
use crate::tools::evidence::{Reader, Unread};
use crate::tools::input;
use crate::tools::pkg::dpkg;
use crate::tools::schema;

/// A status file is some hundred bytes a package; this is room for far more packages than Debian has.
const STATUS_CAP: usize = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Manager {
    Deb,
    Pip,
    Npm,
}

const MANAGERS: [Manager; 3] = [Manager::Deb, Manager::Pip, Manager::Npm];

/// Records of managers that this tool cannot read: their presence is told, so that nobody takes the list for complete.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("rpm", "var/lib/rpm"),
    ("apk", "lib/apk/db"),
    ("pacman", "var/lib/pacman"),
    ("snap", "var/lib/snapd/snaps"),
    ("flatpak", "var/lib/flatpak/app"),
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// All that are supported, if left out.
    #[serde(default)]
    managers: Option<Vec<Manager>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Data {
    pkgs: Vec<Package>,
    /// Managers asked for that have no records here.
    absent: Vec<Manager>,
    /// Managers that are used here and that this tool cannot read.
    unsupported: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct Package {
    name: String,
    version: String,
    arch: Option<String>,
    source: Option<String>,
    /// The manager whose records name it.
    origin: Manager,
    /// Installed only because others need it; null where the manager does not tell.
    auto: Option<bool>,
    /// dpkg's state; null elsewhere.
    state: Option<String>,
}

pub struct PkgInventory;

impl Tool for PkgInventory {
    fn spec(&self) -> ToolSpec {
        let what = "Installed packages of dpkg, rpm, pip, npm and cargo";
        schema::read_only::<Input, Data>("pkg.inventory", what, "none", Duration::from_secs(60))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        input::parse(input).and_then(|input: Input| inventory(cx, &input)).unwrap_or_else(|refusal| *refusal)
    }
}

fn inventory(cx: &ToolCx, input: &Input) -> Result<Output, Box<Output>> {
    let mut reader = Reader::new(cx);
    let (mut pkgs, mut absent) = (Vec::new(), Vec::new());
    for manager in input.managers.as_deref().unwrap_or(&MANAGERS) {
        cx.go_on()?;
        let found = match manager {
            Manager::Deb => deb(&mut reader),
            Manager::Pip => records(&mut reader, "pip", &python_dirs(cx), ".dist-info", "METADATA", python),
            Manager::Npm => records(&mut reader, "npm", &node_dirs(cx), "", "package.json", node),
        };
        match found {
            Ok(found) => pkgs.extend(found),
            Err(Unread::Missing { .. }) => absent.push(*manager),
            Err(unread) => reader.gap("pkgs", &unread),
        }
    }
    let present = |path: &str| match path.strip_prefix("var/") {
        Some(below) => cx.roots.var.join(below).exists(),
        None => cx.roots.root.join(path).exists(),
    };
    let unsupported =
        UNSUPPORTED.iter().filter(|(_, path)| present(path)).map(|(name, _)| (*name).to_owned()).collect();
    if pkgs.is_empty() && reader.gaps().is_empty() {
        let what = "the records of dpkg, pip and npm".to_owned();
        return Ok(Reader::unavailable(&Unread::Missing { what }));
    }
    Ok(reader.finish(Data { pkgs, absent, unsupported }))
}

fn deb(reader: &mut Reader<'_>) -> Result<Vec<Package>, Unread> {
    let path = reader.var("lib/dpkg/status");
    let raw = reader.bytes(&path, STATUS_CAP)?;
    let what = path.display().to_string();
    if raw.truncated {
        return Err(Unread::Malformed { what, why: format!("it is longer than {STATUS_CAP} bytes") });
    }
    let text = String::from_utf8_lossy(&raw.bytes);
    let packages = dpkg::parse_status(&text).map_err(|why| Unread::Malformed { what, why })?;
    // Without apt there is no such file, and nothing is known about `auto`.
    let states = reader.var("lib/apt/extended_states");
    let auto = match reader.text(&states) {
        Ok(text) => Some(dpkg::parse_auto(&text)),
        Err(Unread::Missing { .. }) => None,
        Err(unread) => {
            reader.gap("auto", &unread);
            None
        }
    };
    let package = |found: dpkg::Package| Package {
        auto: auto.as_ref().map(|names| names.contains(&found.name)),
        name: found.name,
        version: found.version,
        arch: Some(found.arch),
        source: Some(found.source),
        origin: Manager::Deb,
        state: Some(found.state),
    };
    Ok(packages.into_iter().map(package).collect())
}

/// Packages that keep one record file each in a directory of their own, below any of `dirs`.
fn records(
    reader: &mut Reader<'_>,
    source: &str,
    dirs: &[PathBuf],
    suffix: &str,
    file: &str,
    parse: fn(&str) -> Option<Package>,
) -> Result<Vec<Package>, Unread> {
    let mut bundle = Bundle::new(reader.cx, format!("{source} records"));
    let mut packages = Vec::new();
    let mut seen = false;
    for dir in dirs {
        let Ok(entries) = bundle.list(dir) else { continue };
        seen = true;
        for entry in entries.iter().filter(|entry| entry.name.ends_with(suffix)) {
            // A directory without a record is not a package.
            if let Ok(text) = bundle.text(&entry.path.join(file)) {
                packages.extend(parse(&text));
            }
        }
    }
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    packages.dedup();
    if seen { Ok(packages) } else { Err(Unread::Missing { what: format!("{source} records") }) }
}

fn python_dirs(cx: &ToolCx) -> Vec<PathBuf> {
    let mut dirs = vec![cx.roots.root.join("usr/lib/python3/dist-packages")];
    for lib in ["usr/lib", "usr/local/lib"] {
        let Ok(entries) = std::fs::read_dir(cx.roots.root.join(lib)) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("python3.")) {
            dirs.extend(["site-packages", "dist-packages"].map(|name| entry.path().join(name)));
        }
    }
    dirs.sort();
    dirs
}

fn node_dirs(cx: &ToolCx) -> Vec<PathBuf> {
    ["usr/lib/node_modules", "usr/local/lib/node_modules", "usr/share/nodejs"]
        .map(|dir| cx.roots.root.join(dir))
        .to_vec()
}

/// The core metadata of a Python distribution: headers before the first empty line.
fn python(text: &str) -> Option<Package> {
    let head = text.split("\n\n").next()?;
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    Some(language_package(field("Name")?, field("Version").unwrap_or_default(), Manager::Pip))
}

fn node(text: &str) -> Option<Package> {
    let parsed: Value = serde_json::from_str(text).ok()?;
    Some(language_package(parsed["name"].as_str()?, parsed["version"].as_str().unwrap_or_default(), Manager::Npm))
}

fn language_package(name: &str, version: &str, origin: Manager) -> Package {
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: None,
        source: None,
        origin,
        auto: None,
        state: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, ToolCx) {
        let dir = tempfile::tempdir().expect("temp dir");
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            fs::write(path, text).expect("write");
        }
        let cx = FixtureCx::at(dir.path());
        (dir, cx)
    }

    #[test]
    fn packages_of_three_managers_are_listed() {
        let (_dir, cx) = host(&[
            ("var/lib/dpkg/status", "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n"),
            ("var/lib/apt/extended_states", "Package: bash\nAuto-Installed: 1\n"),
            (
                "usr/lib/python3.11/site-packages/six-1.16.dist-info/METADATA",
                "Name: six\nVersion: 1.16\n\nName: not this",
            ),
            ("usr/lib/node_modules/npm/package.json", "{\"name\": \"npm\", \"version\": \"10.1\"}"),
            ("var/lib/rpm/rpmdb.sqlite", ""),
        ]);
        let output = PkgInventory.call(&cx, &Value::Null);
        assert_eq!(output.status, Status::Ok, "{output:?}");
        let brief: Vec<_> = output.data["pkgs"]
            .as_array()
            .expect("pkgs")
            .iter()
            .map(|p| json!([p["name"], p["origin"], p["auto"]]))
            .collect();
        assert_eq!(brief, [json!(["bash", "deb", true]), json!(["six", "pip", null]), json!(["npm", "npm", null])]);
        assert_eq!(output.data["unsupported"], json!(["rpm"]));
    }

    #[test]
    fn a_host_without_records_is_unavailable() {
        let (_dir, cx) = host(&[]);
        assert_eq!(PkgInventory.call(&cx, &json!({"managers": ["deb"]})).status, Status::Unavailable);
    }

    #[test]
    fn an_unknown_manager_is_a_fault_of_the_input() {
        let reason = PkgInventory.call(&FixtureCx::empty(), &json!({"managers": ["brew"]})).reason.expect("reason");
        assert_eq!((reason.code.as_str(), reason.facility.as_str()), ("invalid_input", "managers"));
    }

    #[test]
    fn the_live_host_is_listed_with_evidence() {
        let output = PkgInventory.call(&FixtureCx::live(), &Value::Null);
        assert!(matches!(output.status, Status::Ok | Status::Degraded | Status::Unavailable), "{:?}", output.reason);
        assert!(output.status == Status::Unavailable || !output.evidence.is_empty());
    }
}
