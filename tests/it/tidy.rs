//! The house rules that a compiler does not check: layers, file length, first lines, names.
use std::fs;
use std::path::{Path, PathBuf};

use crate::tidy::code::{after, code_of, has_word, production_of, squeezed, test_modules};

mod code;

/// Longest file, in lines.
const LONGEST: usize = 400;

/// Most messages one actor answers.
const MOST_HANDLERS: usize = 8;

/// Core folders, and which of `crate::` each may import besides itself.
const CORE: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("toolkit", &["ids"]),
    ("access", &["ids"]),
    ("recovery", &["ids"]),
    ("feed", &["ids"]),
    ("alerts", &["ids", "toolkit", "recovery"]),
    ("resilience", &["ids"]),
    ("audit", &["ids", "toolkit"]),
    ("agents", &["ids", "toolkit", "resilience"]),
    ("judges", &["ids", "toolkit"]),
    ("workflow", &["ids", "toolkit", "access", "agents", "audit", "judges", "resilience"]),
    ("schedules", &["ids", "toolkit", "workflow"]),
    ("compute", &["ids", "audit"]),
    ("learning", &["ids", "toolkit", "agents", "workflow"]),
    (
        "api",
        &[
            "ids",
            "access",
            "alerts",
            "recovery",
            "feed",
            "toolkit",
            "agents",
            "audit",
            "judges",
            "resilience",
            "workflow",
            "schedules",
            "learning",
            "compute",
        ],
    ),
];

/// The folders above the core: which of `crate::` each may import. `CORE` stands for every core folder.
const SHELL: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("config", &["CORE"]),
    ("store", &["CORE", "config", "clock"]),
    ("tpm", &["CORE", "config", "clock"]),
    ("tools", &["CORE", "config"]),
    ("logfiles", &["CORE", "config"]),
    ("artifacts", &["CORE", "config"]),
    ("telemetry", &["CORE", "config"]),
    ("secrets", &["CORE", "config"]),
    ("host", &["CORE", "config"]),
    ("webhook", &["CORE", "config"]),
    ("broker", &["CORE", "config"]),
    ("messages", &["CORE"]),
    (
        "actors",
        &[
            "CORE",
            "config",
            "store",
            "tpm",
            "tools",
            "logfiles",
            "telemetry",
            "secrets",
            "host",
            "webhook",
            "messages",
            "clock",
        ],
    ),
    ("web", &["CORE", "config", "messages", "clock"]),
    ("client", &["api"]),
];

/// These build and hand over; they may import everything.
const ANYTHING: &[&str] = &["app", "cli", "main", "lib"];

/// Words that do IO or run tasks: never in the core, outside its tests.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "actix",
    "actix_rt",
    "actix_web",
    "awc",
    "diesel",
    "diesel_async",
    "nix",
    "rustix",
    "std::fs",
    "std::net",
    "std::env",
];

/// Where `unsafe` may be: code that talks to the processor or to a C library.
const UNSAFE: &[&str] = &["simd", "tpm"];

/// Where `anyhow` may be.
const ANYHOW: &[&str] = &["cli", "main"];

/// File and folder names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc"];

#[test]
fn the_source_tree_keeps_the_house_rules() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<(PathBuf, String)> = rust_files(home, &["src", "tests", "benches"])
        .into_iter()
        .map(|file| (file.clone(), fs::read_to_string(home.join(&file)).unwrap()))
        .collect();
    assert!(files.len() > 10, "only {} files found: is the tree where this test looks for it?", files.len());
    let for_tests: Vec<PathBuf> = files.iter().flat_map(|(file, text)| test_files(file, text)).collect();
    let faults: Vec<String> = files
        .iter()
        .flat_map(|(file, text)| faults_of(&file.to_string_lossy(), text, for_tests.contains(file)))
        .collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_rules_find_what_they_forbid() {
    let long = format!("//! x\n{}", "\n".repeat(LONGEST));
    let many = format!("//! x\n{}", "impl Handler<M> for A {}\n".repeat(MOST_HANDLERS + 1));
    let caught = [
        ("src/web/a.rs", long.as_str(), "lines"),
        ("src/web/a.rs", "use std::fmt;\n", "first line"),
        ("src/ids.rs", "//! x\nuse crate::toolkit::cx::Roots;\n", "`ids` may not import `crate::toolkit`"),
        ("src/toolkit/a.rs", "//! x\nfn f() { crate::store::open() }\n", "may not import `crate::store`"),
        ("src/toolkit/a.rs", "//! x\nuse super::super::store::X;\n", "super::super"),
        ("src/store/mod.rs", "//! x\nuse super::actors::X;\n", "may not import `crate::actors`"),
        ("src/web/a.rs", "//! x\nuse crate::actors::agent::Agent;\n", "may not import `crate::actors`"),
        ("src/workflow/a.rs", "//! x\nuse crate::clock;\n", "may not import `crate::clock`"),
        ("src/workflow/a.rs", "//! x\nuse std::{fmt, fs::File};\n", "`std::fs`"),
        ("src/workflow/a.rs", "//! x\nfn f() { std::env::var(\"A\"); }\n", "`std::env`"),
        ("src/workflow/a.rs", "//! x\nuse tokio::time;\n", "`tokio`"),
        ("src/workflow/a.rs", "//! x\n#[cfg(test)]\nmod tests { fn f() { {} } }\nuse tokio::time;\n", "`tokio`"),
        ("src/workflow/a.rs", "//! x\n#[cfg(test)]\nmod tests {\n    use crate::store::X;\n}\n", "`crate::store`"),
        ("src/fog/a.rs", "//! x\n", "not in the table"),
        ("src/web/a.rs", "//! x\n#[allow(dead_code)]\nfn f() {}\n", "#[allow"),
        ("src/web/a.rs", "//! x\n#![cfg_attr(test, allow(dead_code))]\n", "#[allow"),
        ("src/web/a.rs", "//! x\nuse crate::{api, ids};\n", "grouped"),
        ("src/web/a.rs", "//! x\nuse crate::api::{run::Run, agent};\n", "grouped"),
        ("src/web/utils.rs", "//! x\n", "says nothing"),
        ("tests/it/helpers/a.rs", "//! x\n", "says nothing"),
        ("src/actors/a.rs", many.as_str(), "messages"),
        ("src/web/a.rs", "//! x\nunsafe fn f() {}\n", "unsafe"),
        ("src/web/a.rs", "//! x\nuse anyhow::Result;\n", "anyhow"),
        ("src/web/a.rs", "//! x\nmacro_rules! m { () => {} }\n", "macro"),
        ("tests/it/a.rs", "//! x\n#[ignore]\n", "ignore"),
    ];
    for (path, text, what) in caught {
        let faults = faults_of(path, text, false);
        assert!(faults.iter().any(|f| f.contains(what)), "{path} {text:?} should be caught for {what}: {faults:?}");
    }
}

#[test]
fn the_rules_let_good_code_pass() {
    let fine = [
        ("src/toolkit/a.rs", "//! See crate::store.\nuse std::{fmt, io};\n// crate::store, tokio\n"),
        ("src/toolkit/a.rs", "//! x\nconst A: &str = \"crate::store\";\nconst B: &str = r#\"tokio \" \"#;\n"),
        ("src/toolkit/a.rs", "//! x\n/* crate::store /* tokio */ */\nfn f<'a>(_: &'a str) -> char { '\"' }\n"),
        ("src/agents/a.rs", "//! x\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"),
        ("src/agents/a.rs", "//! x\n#[cfg(test)]\nmod naive {\n    fn f() { crate::clock::now(); }\n}\n"),
        ("src/judges/a.rs", "//! x\nuse crate::toolkit::cx::{Quote, Trust};\npub(crate) fn f() {}\n"),
        ("src/app.rs", "//! x\nuse crate::actors::agent::Agent;\n"),
        ("src/actors/a.rs", "//! x\nuse crate::clock;\nuse crate::store::pool::Pool;\n"),
    ];
    for (path, text) in fine {
        assert_eq!(faults_of(path, text, false), Vec::<String>::new(), "{path} {text:?}");
    }
}

#[test]
fn files_for_tests_only_are_known_by_their_declaration() {
    let text = "//! x\nmod a;\n#[cfg(test)]\npub mod b;\n#[cfg(test)]\n#[path = \"c_tests.rs\"]\nmod tests;\n#[cfg(test)]\nmod d {}\n";
    let found = |file: &str| -> Vec<String> {
        test_files(Path::new(file), text).iter().map(|f| f.to_string_lossy().into_owned()).collect()
    };
    assert_eq!(found("src/x/mod.rs"), ["src/x/b.rs", "src/x/b/mod.rs", "src/x/c_tests.rs"]);
    assert_eq!(found("src/x/c.rs"), ["src/x/c/b.rs", "src/x/c/b/mod.rs", "src/x/c_tests.rs"]);
}

/// Every `.rs` file below these folders, relative to `home`.
fn rust_files(home: &Path, folders: &[&str]) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        // Packages of their own below benches/ bring their own rules and build output.
        let Ok(entries) = fs::read_dir(home.join(&folder)) else { continue };
        if home.join(&folder).join("Cargo.toml").exists() {
            continue;
        }
        for entry in entries {
            let path = folder.join(entry.unwrap().file_name());
            if home.join(&path).is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The files that are modules of this one for tests only.
fn test_files(file: &Path, text: &str) -> Vec<PathBuf> {
    let beside = file.parent().unwrap_or(Path::new(""));
    let is_root = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| file.ends_with(name));
    let below = if is_root { beside.to_owned() } else { file.with_extension("") };
    test_modules(text)
        .into_iter()
        .flat_map(|module| match module.ends_with(".rs") {
            true => vec![beside.join(module)],
            false => vec![below.join(format!("{module}.rs")), below.join(module).join("mod.rs")],
        })
        .collect()
}

/// `for_tests`: the whole file is compiled for tests only.
fn faults_of(path: &str, text: &str, for_tests: bool) -> Vec<String> {
    let code = code_of(text);
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{path}: {what}"));

    let lines = text.lines().count();
    if lines > LONGEST {
        fault(format!("{lines} lines; {LONGEST} is the most: split it by what its parts are for"));
    }
    if !text.starts_with("//!") {
        fault("the first line must be `//!` and say what the file is for".to_owned());
    }
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            fault(format!("the name `{part}` says nothing about what is inside"));
        }
    }
    if squeezed(&code).contains("[allow(") || has_word(&code, "allow") && code.contains("cfg_attr") {
        fault("#[allow] hides a fault for ever: use #[expect(.., reason = \"..\")]".to_owned());
    }
    if squeezed(&code).contains("#[ignore") {
        fault("#[ignore] is a test that nobody runs".to_owned());
    }
    if grouped(&code) {
        fault("grouped `crate::{..}` imports: one `use crate::module::{Names}` per module".to_owned());
    }
    let Some(folder) = folder_of(path) else { return faults };
    if !UNSAFE.contains(&folder) && has_word(&code, "unsafe") {
        fault(format!("unsafe code is only in {UNSAFE:?}"));
    }
    if !ANYHOW.contains(&folder) && has_word(&code, "anyhow") {
        fault(format!("anyhow is only in {ANYHOW:?}: give the module an error enum"));
    }
    if has_word(&code, "macro_rules") {
        fault("a macro of our own: write a function or a table".to_owned());
    }
    let handlers = code.matches("impl Handler<").count();
    if folder == "actors" && handlers > MOST_HANDLERS {
        fault(format!("{handlers} messages in one actor; {MOST_HANDLERS} is the most: make two actors"));
    }
    for what in layer_faults(path, folder, &code, for_tests) {
        fault(what);
    }
    faults
}

/// The folder of `src/` a file belongs to (`src/ids.rs` is `ids`); nothing for tests and benches.
fn folder_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.trim_end_matches(".rs").split('/').next()
}

fn layer_faults(path: &str, folder: &str, code: &str, for_tests: bool) -> Vec<String> {
    if ANYTHING.contains(&folder) {
        return Vec::new();
    }
    let is_core = CORE.iter().any(|(name, _)| *name == folder);
    let Some((_, allowed)) = CORE.iter().chain(SHELL).find(|(name, _)| *name == folder) else {
        return vec![format!("the folder `{folder}` is not in the table of tests/it/tidy.rs")];
    };
    let production = if for_tests { String::new() } else { production_of(code) };
    let production = production.as_str();
    let may = |name: &str| {
        name == folder
            || allowed.contains(&name)
            || allowed.contains(&"CORE") && CORE.iter().any(|(core, _)| *core == name)
    };
    let mut faults = Vec::new();
    let mut imports = after(production, "crate::");
    // Tests may look at the clock, and are bound by the layers like everybody else.
    imports.extend(after(code, "crate::").into_iter().filter(|i| *i != "clock"));
    // In `src/x.rs` and `src/x/mod.rs` the parent is the crate itself.
    if path == format!("src/{folder}.rs") || path == format!("src/{folder}/mod.rs") {
        imports.extend(after(production, "super::"));
    }
    imports.sort_unstable();
    imports.dedup();
    for import in imports.into_iter().filter(|i| !i.is_empty() && !may(i)) {
        faults.push(format!("`{folder}` may not import `crate::{import}`"));
    }
    if production.contains("super::super::") {
        faults.push("`super::super::` hides a layer: name the path from `crate::`".to_owned());
    }
    if is_core {
        for word in NOT_IN_CORE {
            let found = match word.strip_prefix("std::") {
                Some(part) => uses_std(production, part),
                None => has_word(production, word),
            };
            if found {
                faults.push(format!("`{word}` in the core, which decides and does no IO"));
            }
        }
    }
    faults
}

/// Whether the code uses `std::part`, in a path or in a group.
fn uses_std(code: &str, part: &str) -> bool {
    let squeezed = squeezed(code);
    after(&squeezed, "std::").contains(&part)
        || squeezed.match_indices("std::{").any(|(at, open)| has_word(upto(&squeezed[at + open.len()..], '}'), part))
}

/// `use crate::{..}`, or a group that holds paths.
fn grouped(code: &str) -> bool {
    let squeezed = squeezed(code);
    squeezed.contains("crate::{")
        || squeezed.match_indices("usecrate::").any(|(at, _)| {
            let import = upto(&squeezed[at..], ';');
            import.split_once('{').is_some_and(|(_, group)| group.contains("::") || group.contains('{'))
        })
}

fn upto(text: &str, end: char) -> &str {
    text.split(end).next().unwrap_or(text)
}
