//! Turns the text of one agent's file into a profile, or into all that is wrong with it.
use std::collections::BTreeSet;

use serde_norway::{Mapping, Value};

use crate::agents::fault::{Problem, ProfileFault, nearest};
use crate::agents::front_matter::{Parts, split};
use crate::agents::profile::{AgentProfile, Words};
use crate::ids::{AgentId, ToolId};
use crate::toolkit::duration;

mod breaker;

/// What a file gave. The name is known even if the rest is faulty, so that duplicates show at once.
#[derive(Debug)]
pub struct Parsed {
    pub name: Option<(AgentId, usize)>,
    pub profile: Result<AgentProfile, Vec<ProfileFault>>,
}

/// Keys of a Claude Code subagent, and the one under which ours stand.
const TOP: &[&str] = &["name", "description", "tools", "model", "color", "dsmil"];
const OURS: &[&str] = &["group", "domain", "policy", "criticality", "timeout", "concurrency", "tools", "breaker"];

const SECTION: &str = "dsmil";
const DEFAULT_CONCURRENCY: usize = 4;
const MOST_CONCURRENCY: u64 = 64;

const EXAMPLE_NAME: &str = "`name: pacer`, the id in lower case";
const EXAMPLE_DESCRIPTION: &str = "one or two sentences that say when to use the agent";
const EXAMPLE_SECTION: &str = "`dsmil:` with group, domain, policy, criticality, timeout and tools below it";
const EXAMPLE_TOOLS: &str = "`tools: [load.read]`, the default tool first";

/// Reads one file. `file` is its name, of which the last part must be the agent's name and `.md`.
pub fn parse(file: &str, text: &str, known_tools: &BTreeSet<ToolId>) -> Parsed {
    let fault = |line, problem| vec![ProfileFault { file: file.to_owned(), line, problem }];
    let refused = |faults| Parsed { name: None, profile: Err(faults) };
    let parts = match split(text) {
        Ok(parts) => parts,
        Err(problem) => return refused(fault(1, problem)),
    };
    let top = match mapping(&parts) {
        Ok(top) => top,
        Err((line, problem)) => return refused(fault(line, problem)),
    };
    let mut reader = Reader { file, parts, known_tools, faults: Vec::new() };
    let name = reader.name(&top);
    let profile = reader.profile(name.as_ref().map(|(id, _)| id), &top);
    let mut faults = reader.faults;
    faults.sort_by_key(|fault| fault.line);
    let profile = profile.filter(|_| faults.is_empty()).ok_or(faults);
    Parsed { name, profile }
}

fn mapping(parts: &Parts<'_>) -> Result<Mapping, (usize, Problem)> {
    match serde_norway::from_str(&parts.numbered_yaml()) {
        Ok(Value::Mapping(mapping)) => Ok(mapping),
        Ok(Value::Null) => Ok(Mapping::new()),
        Ok(other) => {
            let found = describe(&other);
            Err((2, Problem::WrongType { key: "front matter".to_owned(), expected: "keys with values", found }))
        }
        Err(error) => {
            let line = error.location().map_or(1, |at| at.line().min(parts.body_line - 1));
            Err((line, Problem::Syntax { detail: error.to_string() }))
        }
    }
}

/// Collects faults while it reads; a value that cannot be had is `None`, with its fault noted.
struct Reader<'a> {
    file: &'a str,
    parts: Parts<'a>,
    known_tools: &'a BTreeSet<ToolId>,
    faults: Vec<ProfileFault>,
}

impl Reader<'_> {
    fn fault(&mut self, line: usize, problem: Problem) {
        self.faults.push(ProfileFault { file: self.file.to_owned(), line, problem });
    }

    fn name(&mut self, top: &Mapping) -> Option<(AgentId, usize)> {
        let file_name = self.file.rsplit('/').next().unwrap_or(self.file);
        let stem = file_name.strip_suffix(".md").filter(|stem| !stem.is_empty());
        if stem.is_none() {
            self.fault(1, Problem::FileName);
        }
        let line = self.parts.line_of("name");
        let name = self.text(top, "name", line, EXAMPLE_NAME)?;
        let id = AgentId::new(&name.to_ascii_uppercase()).ok().filter(|_| name == name.to_ascii_lowercase());
        let Some(id) = id else {
            let rule = "a-z, 0-9 and `-`, starting with a letter, at most 64";
            self.fault(line, Problem::BadName { name, rule });
            return None;
        };
        if let Some(stem) = stem.filter(|stem| *stem != name) {
            self.fault(line, Problem::NameIsNotFile { name, stem: stem.to_owned() });
        }
        Some((id, line))
    }

    /// Reads everything, whatever fails on the way, so that no fault hides another.
    fn profile(&mut self, id: Option<&AgentId>, top: &Mapping) -> Option<AgentProfile> {
        for key in keys(top) {
            if !TOP.contains(&key.as_str()) {
                self.unknown_key(&key, self.parts.line_of(&key), TOP, OURS.contains(&key.as_str()));
            }
        }
        let line = self.parts.line_of("description");
        let description = self.text(top, "description", line, EXAMPLE_DESCRIPTION).map(|text| one_line(&text));
        let instructions = self.parts.body.trim().to_owned();
        if instructions.is_empty() {
            self.fault(self.parts.body_line - 1, Problem::NoInstructions);
        }
        let ours = self.section(top)?;
        for key in keys(&ours) {
            if !OURS.contains(&key.as_str()) {
                self.unknown_key(&key, self.parts.line_within(SECTION, &key), OURS, false);
            }
        }
        let group = self.word(&ours, "group", "`group: specialised`");
        let domain = self.domain(&ours);
        let policy = self.word(&ours, "policy", "`policy: ro`");
        let criticality = self.word(&ours, "criticality", "`criticality: normal`");
        let timeout = self.timeout(&ours);
        let concurrency = self.concurrency(&ours);
        let tools = self.tools(&ours);
        let breaker = self.breaker(&ours, timeout);
        Some(AgentProfile {
            id: id?.clone(),
            group: group?,
            domain: domain?,
            description: description?,
            tools: tools?,
            policy: policy?,
            criticality: criticality?,
            timeout: timeout?,
            concurrency: concurrency?,
            breaker: breaker?,
            instructions,
        })
    }

    fn unknown_key(&mut self, key: &str, line: usize, allowed: &'static [&'static str], misplaced: bool) {
        let hint = if misplaced {
            Some(format!("it belongs under `{SECTION}:`"))
        } else {
            nearest(key, allowed.iter().copied()).map(|near| format!("did you mean `{near}`?"))
        };
        self.fault(line, Problem::UnknownKey { key: key.to_owned(), hint, allowed });
    }

    fn section(&mut self, top: &Mapping) -> Option<Mapping> {
        let line = self.parts.line_of(SECTION);
        match top.get(SECTION) {
            Some(Value::Mapping(ours)) => return Some(ours.clone()),
            None => self.fault(line, Problem::MissingKey { key: SECTION.to_owned(), example: EXAMPLE_SECTION }),
            Some(other) => self.wrong_type(SECTION, line, "keys with values", other),
        }
        None
    }

    fn wrong_type(&mut self, key: &str, line: usize, expected: &'static str, found: &Value) {
        self.fault(line, Problem::WrongType { key: key.to_owned(), expected, found: describe(found) });
    }

    /// A text that is not empty.
    fn text(&mut self, from: &Mapping, key: &str, line: usize, example: &'static str) -> Option<String> {
        match from.get(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => return Some(text.trim().to_owned()),
            Some(Value::String(_) | Value::Null) => self.fault(line, Problem::Empty { key: key.to_owned(), example }),
            Some(other) => self.wrong_type(key, line, "a text", other),
            None => self.fault(line, Problem::MissingKey { key: key.to_owned(), example }),
        }
        None
    }

    fn our_text(&mut self, ours: &Mapping, key: &str, example: &'static str) -> Option<String> {
        self.text(ours, key, self.parts.line_within(SECTION, key), example)
    }

    fn bad_value(&mut self, key: &str, value: impl ToString, allowed: impl Into<String>) {
        let (value, allowed) = (value.to_string(), allowed.into());
        self.fault(self.parts.line_within(SECTION, key), Problem::BadValue { key: key.to_owned(), value, allowed });
    }

    fn word<W: Words>(&mut self, ours: &Mapping, key: &str, example: &'static str) -> Option<W> {
        let text = self.our_text(ours, key, example)?;
        let word = W::from_word(&text);
        if word.is_none() {
            self.bad_value(key, text, W::ALL.iter().map(|one| one.word()).collect::<Vec<_>>().join(", "));
        }
        word
    }

    fn domain(&mut self, ours: &Mapping) -> Option<String> {
        let text = self.our_text(ours, "domain", "`domain: operations`")?;
        let good = text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        if !good {
            self.bad_value("domain", &text, "one word of a-z and `-`, such as operations");
        }
        good.then_some(text)
    }

    fn timeout(&mut self, ours: &Mapping) -> Option<std::time::Duration> {
        let text = self.our_text(ours, "timeout", "`timeout: 60s`")?;
        let timeout = duration::parse(&text).ok().filter(|timeout| !timeout.is_zero());
        if timeout.is_none() {
            self.bad_value("timeout", text, "a duration above zero, such as 500ms, 20s, 10m or 1h");
        }
        timeout
    }

    fn concurrency(&mut self, ours: &Mapping) -> Option<usize> {
        let Some(value) = ours.get("concurrency") else { return Some(DEFAULT_CONCURRENCY) };
        let number = value.as_u64().filter(|number| (1..=MOST_CONCURRENCY).contains(number));
        if number.is_none() {
            self.bad_value("concurrency", describe(value), format!("a whole number from 1 to {MOST_CONCURRENCY}"));
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    fn tools(&mut self, ours: &Mapping) -> Option<Vec<ToolId>> {
        let key = "tools";
        let line = self.parts.line_within(SECTION, key);
        let list = match ours.get(key) {
            Some(Value::Sequence(list)) if !list.is_empty() => list,
            Some(Value::Sequence(_) | Value::Null) => {
                self.fault(line, Problem::Empty { key: key.to_owned(), example: EXAMPLE_TOOLS });
                return None;
            }
            Some(other) => {
                self.wrong_type(key, line, "a list of tool ids", other);
                return None;
            }
            None => {
                self.fault(line, Problem::MissingKey { key: key.to_owned(), example: EXAMPLE_TOOLS });
                return None;
            }
        };
        let mut tools: Vec<ToolId> = Vec::new();
        for (index, item) in list.iter().enumerate() {
            let Value::String(text) = item else {
                self.wrong_type(key, line, "a list of tool ids", item);
                continue;
            };
            let earlier = list[..index].iter().filter(|before| *before == item).count();
            let line = self.parts.line_of_word(SECTION, key, text, earlier);
            if earlier > 0 {
                self.fault(line, Problem::DuplicateTool { tool: text.clone() });
                continue;
            }
            match self.known_tools.get(text.as_str()) {
                Some(tool) => tools.push(tool.clone()),
                None => {
                    let nearest = nearest(text, self.known_tools.iter().map(ToolId::as_str)).map(str::to_owned);
                    self.fault(line, Problem::UnknownTool { tool: text.clone(), nearest });
                }
            }
        }
        Some(tools)
    }
}

fn keys(mapping: &Mapping) -> impl Iterator<Item = String> {
    mapping.keys().map(|key| match key {
        Value::String(text) => text.clone(),
        other => describe(other),
    })
}

/// A value in few words, for a message.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "keys with values".to_owned(),
        Value::Tagged(tagged) => format!("a value with the tag {}", tagged.tag),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
