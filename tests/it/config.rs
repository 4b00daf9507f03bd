//! Configuration as an operator meets it: what is built in, who wins, and what a slip of the pen is answered with.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dsmil::config::source::{FileChoice, Flag, Origin, Place, Sources};
use dsmil::config::{Config, Loaded, keys};
use dsmil::toolkit::tpm_choice::TpmChoice;

fn sources() -> Sources {
    let env = BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned())]);
    let place = Place::new(false, &env, PathBuf::from("/started-here"), "Host.One".to_owned());
    Sources { file: FileChoice::None, env: BTreeMap::new(), flags: Vec::new(), place }
}

fn with_file(text: &str) -> (tempfile::TempDir, Sources) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("dsmil.toml");
    std::fs::write(&path, text).unwrap();
    (temp, Sources { file: FileChoice::Named(path), ..sources() })
}

fn with_env(pairs: &[(&str, &str)]) -> Sources {
    let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { env, ..sources() }
}

fn complaints(sources: &Sources) -> Vec<String> {
    match Config::load(sources) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
    }
}

/// The file is refused with exactly these complaints, each without the folder of the file.
fn check(text: &str, expected: &[&str]) {
    let (temp, sources) = with_file(text);
    let prefix = format!("{}/", temp.path().display());
    let found: Vec<String> = complaints(&sources).iter().map(|c| c.replace(&prefix, "")).collect();
    assert_eq!(found, expected, "{text}");
}

fn shown<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, &'a Origin) {
    let setting = loaded.origins.iter().find(|s| s.key == key).unwrap();
    (&setting.value, &setting.origin)
}

#[test]
fn the_default_file_says_what_is_built_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let from_file = Config::load(&Sources { file: FileChoice::Named(path), ..sources() }).unwrap();
    let built_in = Config::load(&sources()).unwrap();
    assert_eq!(from_file.config, built_in.config);
    for (key, setting) in keys().iter().zip(&from_file.origins) {
        let (section, name) = key.name.split_once('.').unwrap();
        let body = text.split_once(&format!("\n[{section}]\n")).unwrap().1;
        let body = body.split("\n[").next().unwrap();
        // What depends on the host is shown as a comment, all else is set.
        let is_set = matches!(setting.origin, Origin::File { .. });
        let line = if is_set { format!("\n{name} = ") } else { format!("\n# {name} = ") };
        assert!(body.contains(&line), "config/default.toml lacks {} ({line:?})", key.name);
        let (before, _) = body.split_once(&line).unwrap();
        assert!(before.lines().last().is_some_and(|l| l.starts_with('#')), "{} is not explained", key.name);
        assert!(is_set || matches!(key.default, dsmil::config::key::Preset::Of(_)), "{} is not set", key.name);
    }
}

#[test]
fn defaults_depend_on_who_starts_the_service() {
    let config = Config::load(&sources()).unwrap().config;
    assert_eq!(config.data_dir, Path::new("/home/me/.local/state/dsmil"));
    assert_eq!(config.node.as_str(), "host-one");
    let mut root = sources();
    root.place.root = true;
    assert_eq!(Config::load(&root).unwrap().config.data_dir, Path::new("/var/lib/dsmil"));
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let (_temp, mut sources) =
        with_file("[web]\nlisten = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n");
    sources.env.insert("DSMIL_WEB_LISTEN".to_owned(), "127.0.0.1:2".to_owned());
    sources.env.insert("DSMIL_LOG_LEVEL".to_owned(), "debug".to_owned());
    sources.flags.push(Flag { key: "web.listen", flag: "--listen", value: "127.0.0.1:3".to_owned() });
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.web.listen.port(), 3);
    assert_eq!(shown(&loaded, "web.listen"), ("\"127.0.0.1:3\"", &Origin::Flag("--listen")));
    assert_eq!(shown(&loaded, "log.level"), ("\"debug\"", &Origin::Env("DSMIL_LOG_LEVEL".to_owned())));
    assert_eq!(shown(&loaded, "log.format").0, "\"json\"");
    assert!(shown(&loaded, "log.format").1.to_string().ends_with("dsmil.toml:5"));
    assert_eq!(shown(&loaded, "postgres.port"), ("5433", &Origin::Default));
}

#[test]
fn every_fault_of_every_source_is_reported_at_once() {
    let (_temp, mut sources) = with_file("[web]\nlisten = 8787\nlisten_on = \"x\"\n");
    sources.env.insert("DSMIL_POSTGRES_PORT".to_owned(), "0".to_owned());
    sources.flags.push(Flag { key: "tpm.choice", flag: "--tpm", value: "none".to_owned() });
    assert_eq!(complaints(&sources).len(), 4, "{:#?}", complaints(&sources));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_right_one() {
    check(
        "[web]\nlisten = \"127.0.0.1:1\"\nlisen = \"x\"\n",
        &["dsmil.toml:3: unknown key `web.lisen`; did you mean `web.listen`?"],
    );
    check(
        "[engnie]\nmax_steps = 3\n",
        &["dsmil.toml:2: unknown key `engnie.max_steps`; did you mean `engine.max_steps`?"],
    );
    check("port = 3\n", &["dsmil.toml:1: unknown key `port`; did you mean `postgres.port`?"]);
}

#[test]
fn a_wrong_type_is_told_what_was_expected() {
    check("[log]\nlevel = 3\n", &["dsmil.toml:2: `log.level` must be a text in quotes, found a whole number"]);
    check("[drills]\nenabled = \"yes\"\n", &["dsmil.toml:2: `drills.enabled` must be true or false, found a text"]);
    check(
        "[engine]\n\nmax_steps = \"9\"\n",
        &["dsmil.toml:3: `engine.max_steps` must be a whole number, found a text"],
    );
}

#[test]
fn a_value_out_of_bounds_is_told_the_bounds() {
    check(
        "[engine]\nmax_steps = 0\n",
        &["dsmil.toml:2: `engine.max_steps` = `0`: must be a whole number from 1 to 100000"],
    );
    check(
        "[data]\ndir = \"var/dsmil\"\n",
        &[
            "dsmil.toml:2: `data.dir` = `var/dsmil`: must be an absolute path: a service has no working directory of its own",
        ],
    );
}

#[test]
fn an_address_that_others_can_reach_is_refused_until_there_is_tls() {
    for address in ["0.0.0.0:8787", "[::]:8787", "192.168.1.4:80"] {
        let faults = complaints(&with_env(&[("DSMIL_WEB_LISTEN", address)]));
        assert!(faults[0].contains("no TLS yet"), "{faults:?}");
    }
    assert_eq!(complaints(&with_env(&[("DSMIL_WEB_LISTEN", "[::1]:0")])), Vec::<String>::new());
}

#[test]
fn what_is_not_toml_is_told_its_line() {
    let (_temp, sources) = with_file("[web]\nlisten = \n");
    let faults = complaints(&sources);
    assert!(faults[0].contains("dsmil.toml:2: not TOML"), "{faults:?}");
}

#[test]
fn a_named_file_must_exist_and_the_system_file_need_not() {
    let missing = PathBuf::from("/nonexistent/dsmil.toml");
    assert!(
        complaints(&Sources { file: FileChoice::Named(missing.clone()), ..sources() })[0].contains("/nonexistent/")
    );
    assert!(Config::load(&Sources { file: FileChoice::IfPresent(missing), ..sources() }).is_ok());
}

#[test]
fn a_misspelt_variable_is_a_fault_and_a_foreign_one_is_not() {
    let faults = complaints(&with_env(&[("DSMIL_WEB_LISTN", "127.0.0.1:1")]));
    assert_eq!(faults, ["env DSMIL_WEB_LISTN: unknown key `DSMIL_WEB_LISTN`; did you mean `DSMIL_WEB_LISTEN`?"]);
    assert_eq!(
        complaints(&with_env(&[("DSMIL_URL", "x"), ("DSMIL_SOAK", "1"), ("DSMILE", "1")])),
        Vec::<String>::new()
    );
}

#[test]
fn the_database_password_is_never_shown() {
    let secret = "postgres://me:hunter2@db/dsmil";
    let loaded = Config::load(&with_env(&[("DATABASE_URL", secret)])).unwrap();
    assert_eq!(loaded.config.postgres.url.as_ref().map(|u| u.reveal()), Some(secret));
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert_eq!(shown(&loaded, "postgres.url").0, "\"(set)\"");
    let faults = complaints(&with_env(&[("DATABASE_URL", "mysql://me:hunter2@db")]));
    assert!(!faults.is_empty() && !faults[0].contains("hunter2"), "{faults:?}");
}

#[test]
fn paths_of_flags_and_environment_start_from_the_working_directory() {
    let mut sources = with_env(&[("DSMIL_AGENTS_DIR", "profiles"), ("DSMIL_TPM", "device:/dev/tpm0")]);
    sources.flags.push(Flag { key: "data.dir", flag: "--data-dir", value: "here".to_owned() });
    let config = Config::load(&sources).unwrap().config;
    assert_eq!(config.data_dir, Path::new("/started-here/here"));
    assert_eq!(config.agents.dir.as_deref(), Some(Path::new("/started-here/profiles")));
    assert_eq!(config.tpm.choice, TpmChoice::Device(PathBuf::from("/dev/tpm0")));
}

#[test]
fn what_show_prints_can_be_read_back() {
    let loaded = Config::load(&sources()).unwrap();
    let mut text = String::new();
    for setting in &loaded.origins {
        let (section, name) = setting.key.split_once('.').unwrap();
        text += &format!("[{section}]\n{name} = {}\n", setting.value);
    }
    // One header per section, as TOML wants it.
    let mut seen = std::collections::BTreeSet::new();
    let text: String = text
        .lines()
        .filter(|l| !l.starts_with('[') || seen.insert((*l).to_owned()))
        .map(|l| format!("{l}\n"))
        .collect();
    let (_temp, again) = with_file(&text);
    assert_eq!(Config::load(&again).unwrap().config, loaded.config);
}

#[test]
fn a_named_server_folder_is_taken_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_string_lossy().into_owned();
    let postgres = Config::load(&with_env(&[("DSMIL_POSTGRES_BIN_DIR", &dir)])).unwrap().config.postgres;
    let error = postgres.server_dir().unwrap_err();
    assert_eq!(error.looked_in, [temp.path()]);
    assert!(error.to_string().contains("scripts/setup"));
    for program in ["initdb", "postgres"] {
        std::fs::write(temp.path().join(program), "").unwrap();
    }
    assert_eq!(postgres.server_dir().as_deref(), Ok(temp.path()));
}
