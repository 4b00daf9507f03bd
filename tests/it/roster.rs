//! The agents and playbooks that are shipped: complete, consistent, and told truly by docs/agents.md.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dsmil::agents::catalog::Catalog;
use dsmil::agents::page;
use dsmil::agents::profile::Words;
use dsmil::ids::{AgentId, StepId, ToolId};
use dsmil::tools;
use serde_norway::Value;

/// What each agent must be: one line per agent, tab-separated.
const EXPECTED: &str = include_str!("../fixtures/roster.tsv");

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tool(id: &str) -> ToolId {
    ToolId::new(id).unwrap()
}

fn expected() -> impl Iterator<Item = Vec<&'static str>> {
    EXPECTED.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn known_tools() -> BTreeSet<ToolId> {
    expected().flat_map(|line| line[6].split(' ').map(tool).collect::<Vec<_>>()).collect()
}

fn shipped() -> Catalog {
    let mut files: Vec<PathBuf> =
        fs::read_dir(repository().join("config/agents")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), read(path)));
    Catalog::from_files(texts, &known_tools()).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    })
}

#[test]
fn all_eighty_agents_are_shipped_as_agreed() {
    let catalog = shipped();
    assert_eq!(catalog.len(), 80);
    let told: BTreeSet<String> = catalog
        .iter()
        .map(|agent| {
            let tools: Vec<&str> = agent.tools.iter().map(ToolId::as_str).collect();
            [
                agent.id.as_str(),
                agent.group.word(),
                &agent.domain,
                agent.policy.word(),
                agent.criticality.word(),
                &agent.timeout.as_secs().to_string(),
                &tools.join(" "),
            ]
            .join("\t")
        })
        .collect();
    let agreed: BTreeSet<String> = expected().map(|line| line.join("\t")).collect();
    assert_eq!(told.difference(&agreed).collect::<Vec<_>>(), agreed.difference(&told).collect::<Vec<_>>());
}

#[test]
fn no_two_agents_hold_the_same_tools() {
    let catalog = shipped();
    let mut holders: BTreeMap<BTreeSet<&ToolId>, &AgentId> = BTreeMap::new();
    for agent in catalog.iter() {
        if let Some(other) = holders.insert(agent.tools.iter().collect(), &agent.id) {
            panic!("{other} and {} hold the same tools", agent.id);
        }
    }
}

#[test]
fn each_agent_is_described_in_words_of_its_own() {
    let catalog = shipped();
    let mut said: BTreeMap<String, &AgentId> = BTreeMap::new();
    for agent in catalog.iter() {
        let words = agent.instructions.split_whitespace().count();
        assert!((60..=160).contains(&words), "the instructions of {} have {words} words", agent.id);
        assert!(agent.description.starts_with("Use "), "{}: say when to use it", agent.id);
        for tool in &agent.tools {
            let named = agent.instructions.contains(&format!("`{tool}`"));
            assert!(named, "the instructions of {} do not say what `{tool}` is for", agent.id);
        }
        let text = agent.instructions.split_whitespace().collect::<Vec<_>>().join(" ");
        for sentence in text.split(". ").filter(|sentence| sentence.len() > 30) {
            if let Some(other) = said.insert(sentence.to_owned(), &agent.id) {
                panic!("{other} and {} both say: {sentence}", agent.id);
            }
        }
    }
}

#[test]
fn texts_name_only_tools_and_agents_that_exist() {
    let catalog = shipped();
    let tools = known_tools();
    let domains: BTreeSet<&str> = tools.iter().filter_map(|tool| Some(tool.as_str().split_once('.')?.0)).collect();
    for agent in catalog.iter() {
        for code in agent.instructions.split('`').skip(1).step_by(2) {
            // `kernel.kptr_restrict` and `fs.suid_dumpable` are sysctls; no tool of those domains has an underscore.
            let sysctl = |domain: &str| matches!(domain, "kernel" | "fs") && code.contains('_');
            let looks_like_a_tool = ToolId::new(code).is_ok()
                && code.split_once('.').is_some_and(|(domain, _)| domains.contains(domain) && !sysctl(domain));
            assert!(!looks_like_a_tool || tools.contains(code), "{} names the tool `{code}`", agent.id);
        }
        for text in [&agent.description, &agent.instructions] {
            for name in text.split(|c: char| !(c.is_ascii_uppercase() || c == '-')) {
                // HARDWARE-DELL and the like end in a maker's name; SHA-1 and ML-KEM are no agents.
                let looks_like_an_agent = name.rsplit_once('-').is_some_and(|(_, last)| last.len() >= 5);
                let known = || AgentId::new(name).is_ok_and(|id| catalog.get(&id).is_some());
                assert!(!looks_like_an_agent || known(), "{} refers to {name}", agent.id);
            }
        }
    }
}

#[test]
fn playbooks_ask_agents_for_tools_they_hold_and_steps_that_exist() {
    let catalog = shipped();
    let path = repository().join("config/playbooks/host-baseline.yaml");
    let playbook: Value = serde_norway::from_str(&read(&path)).unwrap();
    assert_eq!(playbook["name"], "host-baseline");
    let mut earlier: BTreeSet<String> = BTreeSet::new();
    let mut work: BTreeSet<(String, String)> = BTreeSet::new();
    for step in playbook["steps"].as_sequence().unwrap() {
        let text = |key: &str| step[key].as_str().unwrap().to_owned();
        let (id, agent, used) = (text("id"), text("agent"), text("tool"));
        assert!(StepId::new(&id).is_ok());
        assert!(catalog.grants(&AgentId::new(&agent).unwrap(), &tool(&used)), "step {id}: {agent} has no {used}");
        for need in step.get("needs").and_then(Value::as_sequence).into_iter().flatten() {
            assert!(earlier.contains(need.as_str().unwrap()), "step {id} needs {need:?}");
        }
        assert!(earlier.insert(id), "two steps have one id");
        work.insert((agent, used));
    }
    let agreed = [
        ("PACER", "load.read"),
        ("INFRASTRUCTURE", "host.identity"),
        ("INFRASTRUCTURE", "hw.inventory"),
        ("INFRASTRUCTURE", "net.links"),
        ("INFRASTRUCTURE", "storage.map"),
        ("INFRASTRUCTURE", "svc.list"),
        ("HARDWARE-INTEL", "cpu.inspect"),
        ("PACKAGE-VERIFIER", "pkg.inventory"),
        ("INTEGRITY-SENTINEL", "fs.manifest"),
        ("PERSISTENCE-HUNTER", "persist.list"),
        ("LEARNING-ANALYST", "learn.stats"),
        ("AUDITOR", "tpm.attest"),
        ("REPORTER", "report.render"),
    ];
    assert_eq!(work, agreed.map(|(agent, tool)| (agent.to_owned(), tool.to_owned())).into());
}

#[test]
fn the_page_about_agents_is_up_to_date() {
    let built: BTreeSet<ToolId> = tools::ALL.iter().map(|tool| tool.spec().id).collect();
    assert!(built.is_subset(&known_tools()));
    let page = page::markdown(&shipped(), &built);
    let path = repository().join("docs/agents.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(repository().join("docs")).unwrap();
        fs::write(&path, &page).unwrap();
    }
    assert!(read(&path) == page, "docs/agents.md is stale: run `UPDATE_DOCS=1 cargo test --test it roster`");
}
