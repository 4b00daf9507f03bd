//! Lays file, environment and flags over the defaults and remembers who set what.
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::config::fault::ConfigError;
use crate::config::key::{Key, Shape, describe};
use crate::config::source::{Flag, Origin, Place, env_name};

/// Variables of ours that are no settings: the command line and the tests read them.
const NOT_SETTINGS: &[&str] = &["DSMIL_URL", "DSMIL_TOKEN", "DSMIL_TOKEN_FILE", "DSMIL_CONFIG", "DSMIL_SOAK"];

/// The text that won for each key, and the faults met on the way.
#[derive(Debug)]
pub struct Layers {
    keys: Vec<Key>,
    place: Place,
    values: BTreeMap<&'static str, (String, Origin)>,
    faults: Vec<ConfigError>,
}

impl Layers {
    pub fn new(keys: Vec<Key>, place: Place) -> Layers {
        let values = keys.iter().map(|k| (k.name, (k.default_text(&place), Origin::Default))).collect();
        Layers { keys, place, values, faults: Vec::new() }
    }

    pub fn fault(&mut self, fault: ConfigError) {
        self.faults.push(fault);
    }

    pub fn lay_file(&mut self, path: &Path, text: &str) {
        let origin = |at: usize| {
            let line = 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
            Origin::File { path: path.to_owned(), line }
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |s| s.start);
            self.fault(ConfigError::Syntax { origin: origin(at), what: error.message().to_owned() });
        }
        for (section, body) in document.get_ref() {
            let at = origin(section.span().start);
            match body.get_ref() {
                DeValue::Table(entries) => {
                    for (name, value) in entries {
                        let key = format!("{}.{}", section.get_ref(), name.get_ref());
                        self.lay_toml(&key, value.get_ref(), origin(name.span().start));
                    }
                }
                _ => self.unknown(section.get_ref(), at),
            }
        }
    }

    pub fn lay_env(&mut self, env: &BTreeMap<String, String>) {
        let names: Vec<(String, Key)> = self.keys.iter().map(|k| (env_name(k), *k)).collect();
        // An empty variable counts as unset, as everywhere in Unix.
        for (name, value) in env.iter().filter(|(_, value)| !value.is_empty()) {
            if let Some((_, key)) = names.iter().find(|(known, _)| known == name) {
                self.values.insert(key.name, (value.clone(), Origin::Env(name.clone())));
            } else if name.starts_with("DSMIL_") && !NOT_SETTINGS.contains(&name.as_str()) {
                let known = || names.iter().map(|(n, _)| n.as_str());
                let in_section = self.keys.iter().filter_map(|k| k.name.split_once('.')).any(|(section, _)| {
                    name.strip_prefix("DSMIL_").is_some_and(|n| n.starts_with(&format!("{}_", section.to_uppercase())))
                });
                let near = nearest(name, known());
                // Other programs may use the prefix too: only what looks like a slip of the pen is a fault.
                if in_section || strsim::damerau_levenshtein(name, &near) <= 2 {
                    let origin = Origin::Env(name.clone());
                    self.fault(ConfigError::Unknown { key: name.clone(), origin, nearest: near });
                }
            }
        }
    }

    pub fn lay_flags(&mut self, flags: &[Flag]) {
        for flag in flags {
            let origin = Origin::Flag(flag.flag);
            match self.values.get_mut(flag.key) {
                Some(value) => *value = (flag.value.clone(), origin),
                None => self.unknown(flag.key, origin),
            }
        }
    }

    /// Makes the value of `key` what it stands for. A fault is noted, and the answer is `None`.
    pub fn parse<T, E: Display>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let known = *self.keys.iter().find(|k| k.name == key)?;
        let (text, origin) = self.values.get(key)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                let value = if known.secret { "(hidden)".to_owned() } else { text.clone() };
                let fault =
                    ConfigError::BadValue { key: known.name, origin: origin.clone(), value, why: why.to_string() };
                self.fault(fault);
                None
            }
        }
    }

    pub fn text(&mut self, key: &str) -> Option<String> {
        self.parse(key, |t| Ok::<_, String>(t.to_owned()))
    }

    pub fn switch(&mut self, key: &str) -> Option<bool> {
        self.parse(key, |t| t.parse::<bool>().map_err(|_| "must be true or false"))
    }

    pub fn whole(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        self.parse(key, |t| match t.parse::<u64>() {
            Ok(n) if (least..=most).contains(&n) => Ok(n),
            _ => Err(format!("must be a whole number from {least} to {most}")),
        })
    }

    /// Each item of a list made what it stands for; the first that cannot be is the fault.
    pub fn list<T, E: Display>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<Vec<T>> {
        self.parse(key, |text| items(text).map(parse).collect::<Result<_, E>>())
    }

    /// A number of bytes.
    pub fn size(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        self.parse(key, |t| match parse_size(t) {
            Some(n) if (least..=most).contains(&n) => Ok(n),
            _ => Err(format!("must be a number of bytes from {least} to {most}, such as 4194304 or \"4 MiB\"")),
        })
    }

    /// An absolute path. Flags and environment may name one relative to the working directory, a file may not.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.optional_path(key, true).flatten()
    }

    /// Like `path`; the empty text means none.
    pub fn path_or_none(&mut self, key: &str) -> Option<Option<PathBuf>> {
        self.optional_path(key, false)
    }

    fn optional_path(&mut self, key: &str, required: bool) -> Option<Option<PathBuf>> {
        let place = self.place.clone();
        let from_file = matches!(self.values.get(key), Some((_, Origin::File { .. })));
        self.parse(key, |text| match Path::new(text) {
            _ if text.is_empty() && required => Err("must not be empty"),
            _ if text.is_empty() => Ok(None),
            path if path.is_absolute() => Ok(Some(path.to_owned())),
            _ if from_file => Err("must be an absolute path: a service has no working directory of its own"),
            path => Ok(Some(place.absolute(path))),
        })
    }

    /// Key, value and origin in the order of the sections; secrets are hidden.
    pub fn settings(&self) -> Vec<(Key, String, Origin)> {
        let shown = |key: &Key, text: &str| match (key.secret, text.is_empty()) {
            (true, false) => "(set)".to_owned(),
            _ => text.to_owned(),
        };
        self.keys
            .iter()
            .filter_map(|key| self.values.get(key.name).map(|(text, at)| (*key, shown(key, text), at.clone())))
            .collect()
    }

    pub fn into_faults(self) -> Vec<ConfigError> {
        self.faults
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    fn lay_toml(&mut self, name: &str, value: &DeValue<'_>, origin: Origin) {
        let Some(key) = self.keys.iter().find(|k| k.name == name).copied() else {
            return self.unknown(name, origin);
        };
        match key.shape.text_of(value) {
            Some(text) => {
                self.values.insert(key.name, (text, origin));
            }
            None => {
                let (expected, found) = (key.shape.expected(), describe(value));
                // Without a value the section does not complain a second time.
                self.values.remove(key.name);
                self.fault(ConfigError::WrongType { key: key.name, origin, expected, found });
            }
        }
    }

    fn unknown(&mut self, name: &str, origin: Origin) {
        let nearest = nearest(name, self.keys.iter().map(|k| k.name));
        self.fault(ConfigError::Unknown { key: name.to_owned(), origin, nearest });
    }
}

/// The known name that looks most like `name`.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    // A name without its section is compared with keys without theirs, too.
    let likeness = |known: &str| {
        let whole = strsim::jaro_winkler(name, known);
        let part = known.split_once('.').map_or(0.0, |(_, part)| strsim::jaro_winkler(name, part));
        if name.contains('.') { whole } else { whole.max(part) }
    };
    known
        .map(|k| (likeness(k), k))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map_or_else(String::new, |(_, k)| k.to_owned())
}

/// Bytes from `4096`, `4 KiB`, `4MiB`, `1 GiB`.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// The items of a list as it is kept.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// The value of a key in the syntax of the file.
pub fn as_toml(shape: Shape, text: &str) -> String {
    match shape {
        Shape::Whole | Shape::Switch => text.to_owned(),
        Shape::Size if text.bytes().all(|b| b.is_ascii_digit()) => text.to_owned(),
        Shape::List => toml::Value::Array(items(text).map(|item| item.to_owned().into()).collect()).to_string(),
        Shape::Size | Shape::Text | Shape::Path => toml::Value::String(text.to_owned()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes) in
            [("4096", Some(4096)), ("4 KiB", Some(4096)), ("4MiB", Some(4 << 20)), ("2 GiB", Some(2 << 30))]
        {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for text in ["", "x", "4 MB", "-1", "4.5 MiB", "99999999999999999999", "18446744073709551615 KiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_is_the_same_from_the_file_and_from_the_environment() {
        let keys = vec![Key::new("web.hosts", Shape::List, "")];
        let dir = PathBuf::from("/");
        let place = Place {
            root: false,
            home: dir.clone(),
            state_home: dir.clone(),
            data_home: dir.clone(),
            cwd: dir,
            hostname: "h".to_owned(),
        };
        let read = |lay: &dyn Fn(&mut Layers)| {
            let mut layers = Layers::new(keys.clone(), place.clone());
            lay(&mut layers);
            let list = layers.list("web.hosts", |item| Ok::<_, String>(item.to_owned()));
            let shown = layers.settings().first().map(|(key, text, _)| as_toml(key.shape, text));
            (list, shown, layers.into_faults().len())
        };
        let two =
            (Some(vec!["a.example".to_owned(), "b:8443".to_owned()]), Some(r#"["a.example", "b:8443"]"#.into()), 0);
        let file = |text: &'static str| move |layers: &mut Layers| layers.lay_file(Path::new("f"), text);
        assert_eq!(read(&file("[web]\nhosts = [\"a.example\", \"b:8443\"]")), two);
        let env = BTreeMap::from([("DSMIL_WEB_HOSTS".to_owned(), "a.example, b:8443".to_owned())]);
        assert_eq!(read(&|layers| layers.lay_env(&env)), two);
        assert_eq!(read(&|_| {}), (Some(Vec::new()), Some("[]".into()), 0));
        for wrong in ["[web]\nhosts = \"a\"", "[web]\nhosts = [1]"] {
            assert_eq!(read(&file(wrong)), (None, None, 1), "{wrong}");
        }
    }

    #[test]
    fn the_nearest_name_is_the_likely_slip() {
        let known = ["web.listen", "log.level", "data.dir"];
        assert_eq!(nearest("web.lisen", known.into_iter()), "web.listen");
        assert_eq!(nearest("lgo.level", known.into_iter()), "log.level");
    }
}
