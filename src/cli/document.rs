//! What is submitted: a file, standard input, or a playbook by its name.
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::fail::Failure;

/// The document to send. What looks like a file is one; anything else is the name of a playbook.
pub fn document(what: &str, inputs: Vec<(String, Value)>) -> Result<Value, Failure> {
    if what != "-" && !looks_like_a_file(what) {
        return Ok(playbook(what, inputs));
    }
    let mut document = parse(what, &read(what)?)?;
    if !inputs.is_empty() {
        let Value::Object(fields) = &mut document else {
            return Err(Failure::usage(format!("{what} is not a workflow: its top level is not a mapping")));
        };
        let own = fields.entry("inputs").or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(own) = own else {
            return Err(Failure::usage(format!("{what}: `inputs` is not a mapping, so --input cannot be added")));
        };
        own.extend(inputs);
    }
    Ok(document)
}

pub fn playbook(name: &str, inputs: Vec<(String, Value)>) -> Value {
    json!({ "playbook": name, "inputs": Map::from_iter(inputs) })
}

/// One tool, run by one agent.
pub fn one_step(agent: &str, tool: Option<&str>, input: Option<Value>) -> Value {
    let mut step = json!({ "id": "only", "agent": agent });
    if let Some(tool) = tool {
        step["tool"] = tool.into();
    }
    if let Some(input) = input {
        step["input"] = input;
    }
    let name = tool.unwrap_or("default").replace(['.', '_'], "-");
    json!({ "name": format!("{}-{name}", agent.to_ascii_lowercase()), "steps": [step] })
}

fn looks_like_a_file(what: &str) -> bool {
    let by_name = what.contains('/') || [".yaml", ".yml", ".json"].iter().any(|end| what.ends_with(end));
    by_name || Path::new(what).is_file()
}

fn read(what: &str) -> Result<String, Failure> {
    let text = if what == "-" {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(what)
    };
    text.map_err(|cause| Failure::usage(format!("cannot read {what}: {cause}")))
}

/// JSON is YAML, but its own parser names faults better.
fn parse(what: &str, text: &str) -> Result<Value, Failure> {
    if text.trim_start().starts_with('{') && !what.ends_with(".yaml") && !what.ends_with(".yml") {
        serde_json::from_str(text).map_err(|cause| Failure::usage(format!("{what} is not JSON: {cause}")))
    } else {
        serde_norway::from_str(text).map_err(|cause| Failure::usage(format!("{what} is not YAML: {cause}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str, inputs: &[(&str, Value)]) -> Result<Value, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(file);
        fs::write(&path, text).expect("a file");
        let inputs = inputs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        document(&path.to_string_lossy(), inputs)
    }

    #[test]
    fn inputs_of_the_command_line_win_over_those_of_the_file() {
        let text = "name: a\ninputs: { root: /etc, deep: true }\nsteps: []\n";
        let document = check("a.yaml", text, &[("root", "/usr".into())]).expect("a document");
        assert_eq!(document["inputs"], json!({ "root": "/usr", "deep": true }));
    }

    #[test]
    fn what_is_no_file_is_a_playbook() {
        let document = document("host-baseline", vec![("k".into(), 3.into())]).expect("a document");
        assert_eq!(document, json!({ "playbook": "host-baseline", "inputs": { "k": 3 } }));
    }

    #[test]
    fn a_fault_of_the_file_is_wrong_usage() {
        for (file, text) in [("a.yaml", "a: ["), ("a.json", "{\"a\": }"), ("b.yaml", "- 1")] {
            let failure = check(file, text, &[("k", 1.into())]).expect_err(text);
            assert_eq!(failure.exit as u8, 2, "{}", failure.message);
        }
        assert!(document("./none.yaml", vec![]).is_err());
    }
}
