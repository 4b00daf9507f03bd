//! Playbooks by name: as a document of their own, and as a step that runs one.
use serde_json::{Map, Value};

use crate::workflow::check::of_steps;
use crate::workflow::check_step::Job;
use crate::workflow::document;
use crate::workflow::document::Reader;
use crate::workflow::fault::Fault;
use crate::workflow::fault::below;
use crate::workflow::fault::did_you_mean;
use crate::workflow::plan::Plan;
use crate::workflow::step::Work;
use crate::workflow::template::Template;
use crate::workflow::world::World;

/// Playbooks that run playbooks that run playbooks.
pub const DEEPEST: usize = 8;
/// What a step that runs a playbook does not have.
const NOT_OF_STEP: [&str; 4] = ["agent", "task", "tool", "input"];

/// The document that starts a playbook.
pub fn of_playbook(document: &Value, world: &World, reader: &mut Reader) -> Option<Plan> {
    let fields = reader.object(document, "", document::PLAYBOOK)?;
    let name = reader.text(fields.get("playbook")?, "/playbook")?;
    if let Some(inputs) = fields.get("inputs") {
        reader.plain_object(inputs, "/inputs")?;
    }
    plan_of(name, fields, "", world, reader)
}

/// The job of a step that runs a playbook, which takes as long as the playbook may, and its inputs.
pub fn step(
    fields: &Map<String, Value>,
    pointer: &str,
    world: &World,
    reader: &mut Reader,
) -> (Option<Job>, Option<Template>) {
    for key in NOT_OF_STEP.into_iter().filter(|key| fields.contains_key(*key)) {
        let hint = if key == "input" { "; it has `inputs`" } else { "" };
        reader.fault(below(pointer, key), format!("a step that runs a playbook has no `{key}`{hint}"));
    }
    let given = fields.get("inputs");
    let inputs_pointer = below(pointer, "inputs");
    let inputs = given.and_then(|value| {
        reader.plain_object(value, &inputs_pointer)?;
        Template::parse(value.clone(), &inputs_pointer).map_err(|faults| reader.faults.extend(faults)).ok()
    });
    let name = fields.get("playbook").and_then(|value| reader.text(value, &below(pointer, "playbook")));
    let Some(name) = name else { return (None, inputs) };
    let constant = |(key, value): (&String, &Value)| {
        let is_constant = Template::parse(value.clone(), "").is_ok_and(|template| template.is_constant());
        // What is known later is taken to be as the playbook has it.
        let own = || world.playbooks.get(name).and_then(|playbook| playbook.get("inputs")?.get(key)).cloned();
        (key.clone(), if is_constant { value.clone() } else { own().unwrap_or_default() })
    };
    let constants: Option<Map<_, _>> =
        given.and_then(Value::as_object).map(|fields| fields.iter().map(constant).collect());
    let given: Map<_, _> = constants.into_iter().map(|inputs| ("inputs".to_owned(), Value::Object(inputs))).collect();
    let plan = plan_of(name, &given, pointer, world, reader);
    let job =
        plan.map(|plan| Job { timeout: plan.timeout(), work: Work::Playbook { playbook: name.to_owned(), plan } });
    (job, inputs)
}

/// The playbook's document with the caller's `inputs`, `labels` and `priority` in place of its own. Faults of what the
/// caller gave are found below `base`; those of the playbook are told of its name there.
fn plan_of(name: &str, given: &Map<String, Value>, base: &str, world: &World, reader: &mut Reader) -> Option<Plan> {
    let pointer = below(base, "playbook");
    let Some(playbook) = world.playbooks.get(name) else {
        let hint = did_you_mean(name, world.playbooks.keys().map(String::as_str));
        reader.fault(pointer, format!("there is no playbook `{name}`{hint}"));
        return None;
    };
    if let Some(first) = reader.around.iter().position(|around| around == name) {
        let circle = reader.around[first..].join("` -> `");
        reader.fault(pointer, format!("playbooks run each other in a circle: `{circle}` -> `{name}`"));
        return None;
    }
    if reader.around.len() >= DEEPEST {
        reader.fault(pointer, format!("playbooks inside each other are more than the {DEEPEST} allowed"));
        return None;
    }
    let mut playbook = playbook.clone();
    if let Some(inputs) = given.get("inputs").and_then(Value::as_object) {
        let own = playbook.get_mut("inputs").and_then(Value::as_object_mut);
        give_inputs(inputs, own, name, &below(base, "inputs"), reader);
    }
    if let Some(playbook) = playbook.as_object_mut() {
        let overridden = ["labels", "priority"].into_iter().filter_map(|key| Some((key, given.get(key)?)));
        playbook.extend(overridden.map(|(key, value)| (key.to_owned(), value.clone())));
    }
    let around = reader.around.iter().cloned().chain([name.to_owned()]).collect();
    let mut inner = Reader { faults: Vec::new(), around, steps: reader.steps };
    let plan = of_steps(&playbook, world, &mut inner);
    reader.steps = inner.steps;
    if playbook.get("steps").is_none() {
        inner.fault("", "has no `steps`");
    }
    for fault in inner.faults {
        let ours = ["/inputs", "/labels", "/priority"]
            .iter()
            .any(|key| fault.pointer.starts_with(key) && given.contains_key(key.trim_start_matches('/')));
        if ours {
            reader.faults.push(Fault { pointer: format!("{base}{}", fault.pointer), ..fault });
        } else {
            reader.fault(&pointer, format!("the playbook `{name}` is at fault: {fault}"));
        }
    }
    plan
}

fn give_inputs(
    given: &Map<String, Value>,
    own: Option<&mut Map<String, Value>>,
    playbook: &str,
    pointer: &str,
    reader: &mut Reader,
) {
    let mut none = Map::new();
    let own = own.unwrap_or(&mut none);
    for (key, value) in given {
        match own.get_mut(key) {
            Some(slot) => *slot = value.clone(),
            None => {
                let hint = did_you_mean(key, own.keys().map(String::as_str));
                reader.fault(below(pointer, key), format!("the playbook `{playbook}` has no input `{key}`{hint}"));
            }
        }
    }
}
