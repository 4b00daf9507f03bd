//! The database of dpkg: which packages are there (`status`), which files they own (`info/*.list`).
use std::collections::{BTreeMap, BTreeSet};

use deb822_fast::Deb822;

/// One package of the status file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub arch: String,
    /// The source package; its own name where the file names none.
    pub source: String,
    /// Third word of `Status`: `installed`, `config-files`, `half-configured` ...
    pub state: String,
}

/// The status file as packages, in its own order.
pub fn parse_status(text: &str) -> Result<Vec<Package>, String> {
    let parsed: Deb822 = text.parse().map_err(|error: deb822_fast::Error| error.to_string())?;
    let packages = parsed.iter().filter_map(|paragraph| {
        let field = |name: &str| paragraph.get(name).map(str::trim).filter(|text| !text.is_empty());
        let name = field("Package")?.to_owned();
        // `Source: glibc (2.36-9)` carries a version where it differs from the package's own.
        let source = field("Source").and_then(|source| source.split(' ').next()).unwrap_or(&name).to_owned();
        let state = field("Status").and_then(|status| status.split(' ').nth(2)).unwrap_or("unknown").to_owned();
        let text = |name: &str| field(name).unwrap_or_default().to_owned();
        Some(Package { version: text("Version"), arch: text("Architecture"), source, state, name })
    });
    Ok(packages.collect())
}

/// Names of the packages that apt installed only because others need them (`extended_states`).
pub fn parse_auto(text: &str) -> BTreeSet<String> {
    let Ok(parsed) = text.parse::<Deb822>() else { return BTreeSet::new() };
    let auto = parsed.iter().filter(|paragraph| paragraph.get("Auto-Installed").is_some_and(|flag| flag.trim() == "1"));
    auto.filter_map(|paragraph| paragraph.get("Package").map(|name| name.trim().to_owned())).collect()
}

/// On systems with a merged `/usr` one file has two names; packages use either.
pub fn merged(path: &str) -> &str {
    let short = path.strip_prefix("/usr").unwrap_or(path);
    let aliased = ["/lib/", "/lib64/", "/bin/", "/sbin/"].iter().any(|dir| short.starts_with(dir));
    if aliased { short } else { path }
}

/// Finds the owners of a set of paths; lists are fed one by one, so that none has to be kept.
#[derive(Debug, Default)]
pub struct Owners<'a> {
    wanted: BTreeMap<&'a str, Option<String>>,
}

impl<'a> Owners<'a> {
    pub fn of(paths: impl IntoIterator<Item = &'a str>) -> Self {
        Owners { wanted: paths.into_iter().map(|path| (merged(path), None)).collect() }
    }

    /// `file` is the name of the list without `.list`: `bash`, `libc6:amd64`.
    pub fn feed(&mut self, file: &str, list: &str) {
        let package = file.split(':').next().unwrap_or(file);
        for line in list.lines() {
            if let Some(owner) = self.wanted.get_mut(merged(line)) {
                *owner = Some(package.to_owned());
            }
        }
    }

    pub fn get(&self, path: &str) -> Option<&str> {
        self.wanted.get(merged(path))?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36-8)\n\
        Version: 2.36-9\nDescription: GNU C Library\n continued\n\nPackage: old\nStatus: deinstall ok config-files\n\
        Architecture: all\nVersion: 1\n";

    #[test]
    fn the_status_file_gives_source_and_state() {
        let packages = parse_status(STATUS).expect("parses");
        let brief: Vec<_> = packages.iter().map(|p| (p.name.as_str(), p.source.as_str(), p.state.as_str())).collect();
        assert_eq!(brief, [("libc6", "glibc", "installed"), ("old", "old", "config-files")]);
    }

    #[test]
    fn automatic_packages_are_told_apart() {
        let auto = parse_auto("Package: a\nAuto-Installed: 1\n\nPackage: b\nAuto-Installed: 0\n");
        assert_eq!(auto, BTreeSet::from(["a".to_owned()]));
    }

    #[test]
    fn an_owner_is_found_under_either_name_of_a_file() {
        let mut owners = Owners::of(["/lib/systemd/system/cron.service", "/usr/sbin/x", "/etc/cron.d/y"]);
        owners.feed("cron", "/.\n/usr/lib/systemd/system/cron.service\n");
        owners.feed("libx:amd64", "/sbin/x\n");
        assert_eq!(owners.get("/lib/systemd/system/cron.service"), Some("cron"));
        assert_eq!(owners.get("/usr/sbin/x"), Some("libx"));
        assert_eq!(owners.get("/etc/cron.d/y"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z: \\n]{0,200}") {
            if let Ok(packages) = parse_status(&text) {
                prop_assert!(packages.iter().all(|package| !package.name.is_empty()));
            }
            parse_auto(&text);
        }
    }
}
