//! Reads one step of a document, and the agent and tool that it names.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::ids::AgentId;
use crate::ids::StepId;
use crate::ids::ToolId;
use crate::workflow::check_playbook;
use crate::workflow::check_wait;
use crate::workflow::check_wait::approval;
use crate::workflow::document;
use crate::workflow::document::Reader;
use crate::workflow::expr::Expr;
use crate::workflow::fault::below;
use crate::workflow::fault::did_you_mean;
use crate::workflow::plan::Mode;
use crate::workflow::plan::OnFailure;
use crate::workflow::run::item_of;
use crate::workflow::spread::MOST_ITEMS;
use crate::workflow::step::Approval;
use crate::workflow::step::Doer;
use crate::workflow::step::ForEach;
use crate::workflow::step::Jitter;
use crate::workflow::step::Retry;
use crate::workflow::step::Task;
use crate::workflow::step::ToolFacts;
use crate::workflow::step::Work;
use crate::workflow::template::Template;
use crate::workflow::template::larger_than;
use crate::workflow::world::AgentFacts;
use crate::workflow::world::World;

const MOST_ATTEMPTS: u64 = 100;
const LARGEST_FACTOR: f64 = 100.0;
const LONGEST_TASK: usize = 4_000;

/// A step as far as it could be read; what is missing has its fault already.
#[derive(Debug)]
pub struct Draft {
    pub pointer: String,
    pub id: Option<StepId>,
    pub job: Option<Job>,
    pub input: Option<Template>,
    /// Under which key it stands.
    pub input_key: &'static str,
    /// Names and where they stand; they may name no step.
    pub needs: Vec<(String, String)>,
    pub when: Option<Expr>,
    pub timeout: Option<Duration>,
    pub attempt_timeout: Option<Duration>,
    pub retry: Retry,
    pub approve: Option<Approval>,
    pub on_failure: Option<OnFailure>,
    pub for_each: Option<ForEach>,
}

/// What a step is there for, and how long that may take.
#[derive(Debug, Clone)]
pub struct Job {
    pub work: Work,
    /// The agent's; of a task the longest of the agents that may be chosen; of a wait the run's.
    pub timeout: Duration,
}

/// What the run says about all its steps.
#[derive(Debug, Clone, Copy)]
pub struct OfRun {
    pub mode: Mode,
    pub timeout: Duration,
}

pub fn step(value: &Value, pointer: &str, run: OfRun, world: &World, reader: &mut Reader) -> Draft {
    let mut draft = Draft::empty(pointer);
    let Some(fields) = reader.object(value, pointer, document::STEP) else { return draft };
    match fields.get("id") {
        Some(value) => draft.id = id(value, &below(pointer, "id"), reader),
        None => reader.fault(pointer, "a step needs an `id`"),
    }
    draft.approve = fields.get("approve").and_then(|value| approval(value, &below(pointer, "approve"), reader));
    draft.job = match check_wait::wait(fields, pointer, run.timeout, reader) {
        Some(job) => job,
        None if fields.contains_key("playbook") => {
            let (job, inputs) = check_playbook::step(fields, pointer, world, reader);
            (draft.input, draft.input_key) = (inputs, "inputs");
            job
        }
        None => match fields.get("task") {
            Some(value) => task(value, fields, pointer, world, reader),
            None => doer(fields, pointer, world, reader),
        },
    };
    draft.for_each = for_each(fields, pointer, world, reader);
    let words = [("keep", OnFailure::Keep), ("rollback", OnFailure::Rollback)];
    let failure_pointer = below(pointer, "on_failure");
    draft.on_failure = fields.get("on_failure").and_then(|value| reader.word(value, &failure_pointer, &words));
    if !fields.contains_key("playbook") {
        draft.input = fields.get("input").and_then(|value| input(value, &below(pointer, "input"), world, reader));
    }
    draft.needs = needs(fields, pointer, run.mode, reader);
    draft.when = fields.get("when").and_then(|value| when(value, &below(pointer, "when"), reader));
    draft.timeout = fields.get("timeout").and_then(|value| reader.duration(value, &below(pointer, "timeout")));
    let attempt_pointer = below(pointer, "attempt_timeout");
    draft.attempt_timeout = fields.get("attempt_timeout").and_then(|value| reader.duration(value, &attempt_pointer));
    if let Some(value) = fields.get("retry") {
        draft.retry = retry(value, &below(pointer, "retry"), reader);
    }
    draft
}

/// A step of the short form: the agent's default tool, named after the agent. `taken` counts the uses of each name.
pub fn agent_step(
    value: &Value,
    pointer: &str,
    taken: &mut BTreeMap<String, u32>,
    world: &World,
    reader: &mut Reader,
) -> Draft {
    let mut draft = Draft::empty(pointer);
    let Some((agent, facts)) = agent(value, pointer, world, reader) else { return draft };
    let mut name = agent.as_str().replace('-', "_");
    loop {
        let uses = taken.entry(name.clone()).or_insert(0);
        *uses += 1;
        if *uses == 1 {
            break;
        }
        name = format!("{name}_{uses}");
    }
    draft.id = StepId::new(&name).map_err(|error| reader.fault(pointer, error.to_string())).ok();
    draft.job = default_doer(&agent, facts, pointer, world, reader);
    draft
}

impl Draft {
    fn empty(pointer: &str) -> Self {
        Draft {
            pointer: pointer.to_owned(),
            id: None,
            job: None,
            input: None,
            input_key: "input",
            needs: Vec::new(),
            when: None,
            timeout: None,
            attempt_timeout: None,
            retry: Retry::default(),
            approve: None,
            on_failure: None,
            for_each: None,
        }
    }
}

fn id(value: &Value, pointer: &str, reader: &mut Reader) -> Option<StepId> {
    let text = reader.text(value, pointer)?;
    let id = StepId::new(text).map_err(|error| reader.fault(pointer, error.to_string())).ok()?;
    if item_of(&id).is_some() {
        reader.fault(pointer, format!("`{id}` is the name of an item of a step with `for_each`"));
        return None;
    }
    Some(id)
}

fn task(value: &Value, fields: &Map<String, Value>, pointer: &str, world: &World, reader: &mut Reader) -> Option<Job> {
    let task_pointer = below(pointer, "task");
    if fields.contains_key("agent") {
        reader.fault(&task_pointer, "a step names its `agent` or has a `task` for whoever is chosen, not both");
        return None;
    }
    let text = reader.text(value, &task_pointer)?.trim();
    if text.is_empty() || text.len() > LONGEST_TASK {
        reader.fault(&task_pointer, format!("must have 1 to {LONGEST_TASK} bytes"));
        return None;
    }
    let tool = match fields.get("tool") {
        Some(value) => Some(tool(value, &below(pointer, "tool"), world, reader)?.0.clone()),
        None => None,
    };
    let may = |facts: &&AgentFacts| tool.as_ref().is_none_or(|tool| facts.tools.contains(tool));
    let Some(timeout) = world.agents.values().filter(may).map(|facts| facts.timeout).max() else {
        reader.fault(below(pointer, "tool"), "no agent is granted this tool");
        return None;
    };
    Some(Job { work: Work::Task { task: Task { text: text.to_owned(), tool } }, timeout })
}

fn tool<'w>(
    value: &Value,
    pointer: &str,
    world: &'w World,
    reader: &mut Reader,
) -> Option<(&'w ToolId, &'w ToolFacts)> {
    let text = reader.text(value, pointer)?;
    let found = world.tools.get_key_value(text);
    if found.is_none() {
        let hint = did_you_mean(text, world.tools.keys().map(ToolId::as_str));
        reader.fault(pointer, format!("there is no tool `{text}`{hint}"));
    }
    found
}

fn doer(fields: &Map<String, Value>, pointer: &str, world: &World, reader: &mut Reader) -> Option<Job> {
    if fields.contains_key("inputs") {
        reader.fault(below(pointer, "inputs"), "is for a step with `playbook`; what a tool is given is its `input`");
    }
    let Some(value) = fields.get("agent") else {
        // A step of a kind that is refused as a whole has its fault already.
        if !document::STEP.later.iter().any(|key| fields.contains_key(*key)) {
            reader.fault(pointer, "a step needs an `agent`, or a `task` for which one is chosen; or it runs a `playbook`; or it waits: `sleep`, `wait_for` or `approve`");
        }
        return None;
    };
    let agent = agent(value, &below(pointer, "agent"), world, reader);
    let Some(value) = fields.get("tool") else {
        let (agent, facts) = agent?;
        return default_doer(&agent, facts, &below(pointer, "agent"), world, reader);
    };
    let tool_pointer = below(pointer, "tool");
    let (tool, facts) = tool(value, &tool_pointer, world, reader)?;
    let (agent, of_agent) = agent?;
    if !of_agent.tools.contains(tool) {
        let granted: Vec<_> = of_agent.tools.iter().map(ToolId::as_str).collect();
        reader.fault(tool_pointer, format!("{agent} is not granted `{tool}`; it has {}", granted.join(", ")));
        return None;
    }
    let doer = Doer { agent, tool: tool.clone(), facts: *facts };
    Some(Job { work: Work::Tool(doer), timeout: of_agent.timeout })
}

fn agent<'w>(value: &Value, pointer: &str, world: &'w World, reader: &mut Reader) -> Option<(AgentId, &'w AgentFacts)> {
    let text = reader.text(value, pointer)?;
    let found = world.agents.get_key_value(text).map(|(agent, facts)| (agent.clone(), facts));
    if found.is_none() {
        let hint = did_you_mean(text, world.agents.keys().map(AgentId::as_str));
        reader.fault(pointer, format!("there is no agent `{text}`{hint}"));
    }
    found
}

fn default_doer(agent: &AgentId, facts: &AgentFacts, pointer: &str, world: &World, reader: &mut Reader) -> Option<Job> {
    let found = facts.tools.first().and_then(|tool| world.tools.get_key_value(tool));
    if found.is_none() {
        reader.fault(pointer, format!("{agent} has no default tool; name one with `tool`"));
    }
    let (tool, of_tool) = found?;
    let doer = Doer { agent: agent.clone(), tool: tool.clone(), facts: *of_tool };
    Some(Job { work: Work::Tool(doer), timeout: facts.timeout })
}

fn for_each(fields: &Map<String, Value>, pointer: &str, world: &World, reader: &mut Reader) -> Option<ForEach> {
    let most_pointer = below(pointer, "max_parallel");
    let max_parallel = fields.get("max_parallel").and_then(|value| {
        let most =
            value.as_u64().and_then(|most| usize::try_from(most).ok()).filter(|most| (1..=MOST_ITEMS).contains(most));
        if most.is_none() {
            reader.fault(&most_pointer, format!("must be a whole number from 1 to {MOST_ITEMS}"));
        }
        most
    });
    let Some(value) = fields.get("for_each") else {
        if fields.contains_key("max_parallel") {
            reader.fault(most_pointer, "is for a step with `for_each`");
        }
        return None;
    };
    let pointer = below(pointer, "for_each");
    match value {
        Value::Array(items) if items.len() > MOST_ITEMS => {
            reader.fault(pointer, format!("{} items are more than the {MOST_ITEMS} allowed", items.len()));
            return None;
        }
        Value::Array(_) => {}
        Value::String(text) if text.starts_with("${") && text.ends_with('}') => {}
        _ => {
            reader.fault(pointer, "must be a list, or an expression such as `${inputs.hosts}` that gives one");
            return None;
        }
    }
    if larger_than(value, world.limits.max_value_bytes) {
        reader.fault(pointer, format!("larger than the {} bytes allowed", world.limits.max_value_bytes));
        return None;
    }
    let items = Template::parse(value.clone(), &pointer).map_err(|faults| reader.faults.extend(faults)).ok()?;
    Some(ForEach { items, max_parallel })
}

fn input(value: &Value, pointer: &str, world: &World, reader: &mut Reader) -> Option<Template> {
    reader.plain_object(value, pointer)?;
    if larger_than(value, world.limits.max_value_bytes) {
        reader.fault(pointer, format!("larger than the {} bytes allowed", world.limits.max_value_bytes));
        return None;
    }
    Template::parse(value.clone(), pointer).map_err(|faults| reader.faults.extend(faults)).ok()
}

fn needs(fields: &Map<String, Value>, pointer: &str, mode: Mode, reader: &mut Reader) -> Vec<(String, String)> {
    let Some(value) = fields.get("needs") else { return Vec::new() };
    let pointer = below(pointer, "needs");
    if mode != Mode::Dag {
        reader.fault(pointer, format!("`needs` is for the mode `dag`; in `{}` the order is given", mode.as_str()));
        return Vec::new();
    }
    let items = reader.list(value, &pointer).unwrap_or_default().iter().enumerate();
    items
        .filter_map(|(at, item)| {
            let pointer = below(&pointer, at);
            reader.text(item, &pointer).map(|text| (text.to_owned(), pointer.clone()))
        })
        .collect()
}

fn when(value: &Value, pointer: &str, reader: &mut Reader) -> Option<Expr> {
    let text = reader.text(value, pointer)?;
    Expr::compile(text).map_err(|error| reader.fault(pointer, error.to_string())).ok()
}

fn retry(value: &Value, pointer: &str, reader: &mut Reader) -> Retry {
    let mut retry = Retry::default();
    let Some(fields) = reader.object(value, pointer, document::RETRY) else { return retry };
    if let Some(value) = fields.get("max_attempts") {
        match value.as_u64().filter(|n| (1..=MOST_ATTEMPTS).contains(n)).and_then(|n| u32::try_from(n).ok()) {
            Some(n) => retry.max_attempts = n,
            None => {
                reader
                    .fault(below(pointer, "max_attempts"), format!("must be a whole number from 1 to {MOST_ATTEMPTS}"));
            }
        }
    }
    if let Some(value) = fields.get("factor") {
        match value.as_f64().filter(|factor| (1.0..=LARGEST_FACTOR).contains(factor)) {
            Some(factor) => retry.factor = factor,
            None => reader.fault(below(pointer, "factor"), format!("must be a number from 1 to {LARGEST_FACTOR}")),
        }
    }
    if let Some(initial) = fields.get("initial").and_then(|v| reader.any_duration(v, &below(pointer, "initial"))) {
        retry.initial = initial;
    }
    if let Some(max) = fields.get("max").and_then(|v| reader.any_duration(v, &below(pointer, "max"))) {
        retry.max = max;
    }
    let jitters = [("full", Jitter::Full), ("none", Jitter::None)];
    if let Some(jitter) = fields.get("jitter").and_then(|v| reader.word(v, &below(pointer, "jitter"), &jitters)) {
        retry.jitter = jitter;
    }
    let not_on = below(pointer, "not_on");
    for (at, item) in fields.get("not_on").and_then(|v| reader.list(v, &not_on)).into_iter().flatten().enumerate() {
        let pointer = below(&not_on, at);
        match reader.text(item, &pointer) {
            Some(word) if is_word(word) => retry.not_on.push(word.to_owned()),
            Some(word) => {
                reader.fault(pointer, format!("`{word}` is not the word of a status or reason: a-z, 0-9, `_`"))
            }
            None => {}
        }
    }
    retry
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
