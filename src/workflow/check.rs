//! From a document to a plan: everything that can be known to be wrong is found here, all of it at once.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::workflow::check_names::link;
use crate::workflow::check_playbook::of_playbook;
use crate::workflow::check_step::Draft;
use crate::workflow::check_step::OfRun;
use crate::workflow::check_step::agent_step;
use crate::workflow::check_step::step;
use crate::workflow::document;
use crate::workflow::document::Reader;
use crate::workflow::fault::Fault;
use crate::workflow::fault::below;
use crate::workflow::plan::Mode;
use crate::workflow::plan::OnFailure;
use crate::workflow::plan::Outline;
use crate::workflow::plan::Plan;
use crate::workflow::plan::Priority;
use crate::workflow::template::larger_than;
use crate::workflow::world::World;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3_600);
const LONGEST_NAME: usize = 200;

/// Checks a document of any of the three forms: `steps`, `agents`, `playbook`.
pub fn check(document: &Value, world: &World) -> Result<Plan, Vec<Fault>> {
    let mut reader = Reader::default();
    let has = |key| document.get(key).is_some();
    let plan = if !document.is_object() {
        reader.wrong_kind("", "an object", document);
        None
    } else if has("steps") {
        of_steps(document, world, &mut reader)
    } else if has("agents") {
        of_agents(document, world, &mut reader)
    } else if has("playbook") {
        of_playbook(document, world, &mut reader)
    } else {
        reader.object(document, "", document::RUN);
        reader.fault("", "a workflow needs `steps`, or one of the short forms `agents` and `playbook`");
        None
    };
    match plan {
        Some(plan) if reader.faults.is_empty() => Ok(plan),
        _ => Err(reader.faults),
    }
}

pub(super) fn of_steps(document: &Value, world: &World, reader: &mut Reader) -> Option<Plan> {
    let fields = reader.object(document, "", document::RUN)?;
    let head = head(fields, "unnamed", world, reader);
    let items = reader.list(fields.get("steps")?, "/steps")?;
    if !count_is_allowed(items.len(), "/steps", world, reader) {
        return None;
    }
    let run = OfRun { mode: head.mode, timeout: head.timeout };
    let steps = items.iter().enumerate().map(|(at, item)| step(item, &below("/steps", at), run, world, reader));
    let drafts = steps.collect();
    finish(head, drafts, world, reader)
}

fn of_agents(document: &Value, world: &World, reader: &mut Reader) -> Option<Plan> {
    let fields = reader.object(document, "", document::AGENTS)?;
    let head = head(fields, "agents", world, reader);
    let items = reader.list(fields.get("agents")?, "/agents")?;
    if !count_is_allowed(items.len(), "/agents", world, reader) {
        return None;
    }
    let mut taken = BTreeMap::new();
    let steps = items.iter().enumerate();
    let drafts = steps.map(|(at, item)| agent_step(item, &below("/agents", at), &mut taken, world, reader)).collect();
    finish(head, drafts, world, reader)
}

/// Counts the steps of a document; those of the playbooks that it runs are counted with it, each time one is run.
fn count_is_allowed(steps: usize, pointer: &str, world: &World, reader: &mut Reader) -> bool {
    let (most, before) = (world.limits.max_steps, reader.steps);
    if steps == 0 {
        reader.fault(pointer, "a workflow needs at least one step");
        return false;
    }
    let all = before.saturating_add(steps);
    if all > most {
        let with = if before > 0 { format!(" with the {before} before them") } else { String::new() };
        reader.fault(pointer, format!("{steps} steps{with} are more than the {most} allowed"));
        return false;
    }
    reader.steps = all;
    true
}

/// What a document says about the whole run.
struct Head {
    name: String,
    mode: Mode,
    priority: Priority,
    labels: BTreeMap<String, String>,
    inputs: Value,
    timeout: Duration,
    on_failure: OnFailure,
}

fn head(fields: &Map<String, Value>, default_name: &str, world: &World, reader: &mut Reader) -> Head {
    let name = fields.get("name").and_then(|value| reader.text(value, "/name"));
    if name.is_some_and(|name| name.is_empty() || name.len() > LONGEST_NAME) {
        reader.fault("/name", format!("must have 1 to {LONGEST_NAME} bytes"));
    }
    // It stands in lists and on terminals, and the database keeps no NUL in a text.
    if let Some(control) = name.and_then(|name| name.chars().find(|char| char.is_control())) {
        reader.fault("/name", format!("has the control character U+{:04X}", u32::from(control)));
    }
    let modes = Mode::ALL.map(|mode| (mode.as_str(), mode));
    let mode = fields.get("mode").and_then(|value| reader.word(value, "/mode", &modes));
    let priorities = Priority::ALL.map(|priority| (priority.as_str(), priority));
    let priority = fields.get("priority").and_then(|value| reader.word(value, "/priority", &priorities));
    let timeout = fields.get("timeout").and_then(|value| reader.duration(value, "/timeout"));
    let words = [("keep", OnFailure::Keep), ("rollback", OnFailure::Rollback)];
    let on_failure = fields.get("on_failure").and_then(|value| reader.word(value, "/on_failure", &words));
    let mut labels = BTreeMap::new();
    for (key, value) in
        fields.get("labels").and_then(|value| reader.plain_object(value, "/labels")).into_iter().flatten()
    {
        if let Some(text) = reader.text(value, &below("/labels", key)) {
            labels.insert(key.clone(), text.to_owned());
        }
    }
    let mut inputs = Value::Object(Map::new());
    if let Some(value) = fields.get("inputs").filter(|value| reader.plain_object(value, "/inputs").is_some()) {
        if larger_than(value, world.limits.max_value_bytes) {
            reader.fault("/inputs", format!("larger than the {} bytes allowed", world.limits.max_value_bytes));
        }
        inputs = value.clone();
    }
    Head {
        name: name.unwrap_or(default_name).to_owned(),
        mode: mode.unwrap_or(Mode::Dag),
        priority: priority.unwrap_or(Priority::Normal),
        labels,
        inputs,
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        on_failure: on_failure.unwrap_or_default(),
    }
}

fn finish(head: Head, drafts: Vec<Draft>, world: &World, reader: &mut Reader) -> Option<Plan> {
    let steps = link(head.mode, &head.inputs, drafts, reader)?;
    let outline = Outline {
        name: head.name,
        mode: head.mode,
        priority: head.priority,
        labels: head.labels,
        inputs: head.inputs,
        timeout: head.timeout,
        max_value_bytes: world.limits.max_value_bytes,
        on_failure: head.on_failure,
        steps,
    };
    // Whatever `link` let through makes a graph; should it not, the reason is told like any other fault.
    Plan::new(outline).map_err(|error| reader.fault("/steps", error.to_string())).ok()
}
