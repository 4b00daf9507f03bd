//! All agents, cross-checked: no duplicate, no unknown tool.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::agents::fault::{Problem, ProfileFault};
use crate::agents::parse::parse;
use crate::agents::profile::AgentProfile;
use crate::ids::{AgentId, ToolId};

/// The agents by id. Made once at start and shared.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    agents: BTreeMap<AgentId, Arc<AgentProfile>>,
}

impl Catalog {
    /// Reads the agents' files, given as name and text. Refuses them with every fault of every file.
    pub fn from_files(
        files: impl Iterator<Item = (String, String)>,
        known_tools: &BTreeSet<ToolId>,
    ) -> Result<Catalog, Vec<ProfileFault>> {
        let mut agents = BTreeMap::new();
        let mut first_seen: BTreeMap<AgentId, String> = BTreeMap::new();
        let mut faults = Vec::new();
        for (file, text) in files {
            let parsed = parse(&file, &text, known_tools);
            match parsed.profile {
                Ok(profile) => drop(agents.insert(profile.id.clone(), Arc::new(profile))),
                Err(found) => faults.extend(found),
            }
            let Some((id, line)) = parsed.name else { continue };
            if let Some(first) = first_seen.get(&id) {
                let problem = Problem::DuplicateAgent { name: id.as_str().to_lowercase(), first: first.clone() };
                faults.push(ProfileFault { file, line, problem });
            } else {
                first_seen.insert(id, format!("{file}:{line}"));
            }
        }
        if faults.is_empty() { Ok(Catalog { agents }) } else { Err(faults) }
    }

    pub fn get(&self, id: &AgentId) -> Option<&Arc<AgentProfile>> {
        self.agents.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<AgentProfile>> {
        self.agents.values()
    }

    pub fn len(&self) -> usize {
        self.agents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    pub fn grants(&self, agent: &AgentId, tool: &ToolId) -> bool {
        self.get(agent).is_some_and(|profile| profile.tools.contains(tool))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const PACER: &str = "\
---
name: pacer
description: Use before heavy work.
dsmil:
  group: specialised
  domain: command
  policy: ro
  criticality: critical
  timeout: 10s
  tools: [load.read, power.read]
---
Read, then answer.
";

    fn tools() -> BTreeSet<ToolId> {
        ["load.read", "power.read", "thermal.read"].into_iter().map(|id| ToolId::new(id).unwrap()).collect()
    }

    fn load(files: &[(&str, &str)]) -> Result<Catalog, Vec<String>> {
        let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
        Catalog::from_files(files, &tools()).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    /// Replaces `from` by `to` in the good file and compares the faults, each by its beginning.
    #[track_caller]
    fn check(from: &str, to: &str, expected: &[&str]) {
        assert!(PACER.contains(from), "{from}");
        let faults = load(&[("agents/pacer.md", &PACER.replacen(from, to, 1))]).unwrap_err();
        let as_expected = faults.len() == expected.len()
            && faults.iter().zip(expected).all(|(fault, start)| fault.starts_with(&format!("agents/pacer.md:{start}")));
        assert!(as_expected, "{to:?} gave {faults:#?}, expected {expected:#?}");
    }

    #[test]
    fn a_good_file_becomes_a_profile() {
        let catalog = load(&[("agents/pacer.md", PACER)]).unwrap();
        let profile = catalog.get(&AgentId::new("PACER").unwrap()).unwrap();
        assert_eq!(profile.description, "Use before heavy work.");
        assert_eq!(profile.instructions, "Read, then answer.");
        assert_eq!((profile.timeout, profile.concurrency), (Duration::from_secs(10), 4));
        assert_eq!(profile.tools.iter().map(ToolId::as_str).collect::<Vec<_>>(), ["load.read", "power.read"]);
        assert!(catalog.grants(&profile.id, &profile.tools[1]));
    }

    #[test]
    fn other_ways_to_write_the_same_are_the_same() {
        let flow = "---\r\nname: pacer\r\ndescription: |\r\n  Use before\r\n  heavy work.\r\nmodel: haiku\r\ntools: Read\r\n\
                    dsmil: { group: specialised, domain: command, policy: ro, criticality: critical, timeout: 10000ms,\r\n\
                    \x20 concurrency: 4, tools: [load.read, power.read] }\r\n---\r\nRead, then answer.\r\n";
        let profile = |text| load(&[("pacer.md", text)]).unwrap().iter().next().unwrap().clone();
        assert_eq!(profile(flow), profile(PACER));
    }

    #[test]
    fn files_that_are_not_agents_are_refused_at_their_line() {
        check("---\nname", "name", &["1: the file does not begin with front matter"]);
        check("---\nRead", "Read", &["1: the front matter is never closed"]);
        check(
            "policy: ro",
            "policy: [ro",
            &["8: the front matter is not valid YAML: did not find expected ',' or ']'"],
        );
        check("  policy: ro", "\tpolicy: ro", &["7: the front matter is not valid YAML"]);
        check("policy: ro", "policy: ro\n  policy: cp", &["5: the front matter is not valid YAML"]);
        check("Read, then answer.", " ", &["11: the file has no instructions"]);
    }

    #[test]
    fn missing_and_empty_keys_are_named_with_an_example() {
        check("description: Use before heavy work.\n", "", &["1: key `description` is missing; add"]);
        check("Use before heavy work.", "", &["3: `description` is empty"]);
        check("Use before heavy work.", "\" \"", &["3: `description` is empty"]);
        check("  domain: command\n", "", &["4: key `domain` is missing; add `domain: operations`"]);
        check("[load.read, power.read]", "[]", &["10: `tools` is empty; write `tools: [load.read]`"]);
        check("[load.read, power.read]", "load.read", &["10: `tools` must be a list of tool ids, not load.read"]);
        check("dsmil:", "dsmil: none\nother:", &["4: `dsmil` must be keys with values", "5: unknown key `other`"]);
    }

    #[test]
    fn unknown_keys_come_with_the_right_one() {
        check(
            "  policy: ro",
            "  polcy: ro",
            &["4: key `policy` is missing", "7: unknown key `polcy`; did you mean `policy`?"],
        );
        check("dsmil:", "colour: red\ndsmil:", &["4: unknown key `colour`; did you mean `color`?"]);
        check("dsmil:", "timeout: 3s\ndsmil:", &["4: unknown key `timeout`; it belongs under `dsmil:`"]);
        check(
            "  policy: ro",
            "  policy: ro\n  priority: high",
            &["8: unknown key `priority`; allowed here: group, domain,"],
        );
        check("dsmil:", "7: x\ndsmil:", &["4: unknown key `7`"]);
    }

    #[test]
    fn bad_values_come_with_those_allowed() {
        check(
            "group: specialised",
            "group: special",
            &["5: `group` is `special`; allowed: core, specialised, hardware"],
        );
        check("policy: ro", "policy: root", &["7: `policy` is `root`; allowed: ro, prop, auto, cp"]);
        check("critical\n", "high\n", &["8: `criticality` is `high`; allowed: background, normal, critical"]);
        check("domain: command", "domain: Of Command", &["6: `domain` is `Of Command`; allowed: one word"]);
        check("10s", "soon", &["9: `timeout` is `soon`; allowed: a duration above zero"]);
        check("10s", "0s", &["9: `timeout` is `0s`"]);
        check("10s", "10", &["9: `timeout` must be a text, not 10"]);
        check("10s", "10s\n  concurrency: 0", &["10: `concurrency` is `0`; allowed: a whole number from 1 to 64"]);
        check("10s", "10s\n  concurrency: -1", &["10: `concurrency` is `-1`"]);
        check("policy: ro", "policy: !x ro", &["7: `policy` must be a text, not a value with the tag !x"]);
    }

    #[test]
    fn names_are_the_id_in_lower_case_and_the_file() {
        check("name: pacer", "name: Pacer", &["2: name `Pacer` is not an agent's name"]);
        check("name: pacer", "name: 9-lives", &["2: name `9-lives` is not an agent's name"]);
        check(
            "name: pacer",
            "name: pacre",
            &["2: name `pacre` and the file's name differ; rename the file to `pacre.md`"],
        );
        let faults = load(&[("agents/pacer.txt", PACER)]).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("agents/pacer.txt:1: an agent's file is named after the agent"));
    }

    #[test]
    fn tools_are_known_and_listed_once() {
        check("power.read]", "powr.read]", &["10: unknown tool `powr.read`; did you mean `power.read`?"]);
        check("power.read]", "\n    load.read]", &["11: tool `load.read` is listed twice; remove one"]);
        check(
            "power.read]",
            "fs.manifest, 7]",
            &["10: unknown tool `fs.manifest`; `dsmil tools", "10: `tools` must be a list"],
        );
    }

    #[test]
    fn an_agent_is_defined_once() {
        let copy = PACER.replace("name: pacer", "# a copy\nname: pacer").replace("timeout: 10s", "timeout: x");
        let faults = load(&[("a/pacer.md", PACER), ("b/pacer.md", &copy)]).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("b/pacer.md:10: `timeout`"));
        assert!(faults[1].starts_with("b/pacer.md:3: agent `pacer` is defined already in a/pacer.md:2;"));
    }

    #[test]
    fn all_faults_of_all_files_come_at_once_in_order() {
        let bad =
            PACER.replace("name: pacer", "name: PACER").replace("policy: ro", "policy: x").replace("power", "pwr");
        let faults = load(&[("pacer.md", &bad), ("other.md", PACER)]).unwrap_err();
        let starts: Vec<&str> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        assert_eq!(starts, ["pacer.md:2", "pacer.md:7", "pacer.md:10", "other.md:2"]);
    }

    proptest! {
        #[test]
        fn whatever_is_cut_out_or_put_in_faults_lie_within_the_file(
            at in 0..PACER.len(), cut in 0..40usize, put in "[-a-z:#{}\\[\\],\"'|>&*! \n\té]{0,12}",
        ) {
            let end = (at + cut).min(PACER.len());
            let text = format!("{}{put}{}", &PACER[..at], &PACER[end..]);
            if let Err(faults) = Catalog::from_files([("pacer.md".to_owned(), text.clone())].into_iter(), &tools()) {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    prop_assert!((1..=text.lines().count().max(1)).contains(&fault.line), "{fault} in {text:?}");
                }
            }
        }
    }
}
