//! The words under which a task, a past step and an agent are looked up.
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::agents::profile::AgentProfile;
use crate::learning::lesson::StepLesson;

/// A task with the hints of its context, whose keys tell nothing.
pub fn of_task(task: &str, context: &Map<String, Value>) -> String {
    let mut text = task.trim().to_owned();
    for value in context.values() {
        match value {
            Value::String(hint) => push(&mut text, hint),
            Value::Number(hint) => push(&mut text, &hint.to_string()),
            Value::Array(hints) => hints.iter().filter_map(Value::as_str).for_each(|hint| push(&mut text, hint)),
            Value::Null | Value::Bool(_) | Value::Object(_) => {}
        }
    }
    text
}

/// What a step was asked to do: its task, else what its tool does (`what`) with the names of step and workflow.
pub fn of_lesson(lesson: &StepLesson, what: Option<&str>) -> String {
    match &lesson.task {
        Some(task) => task.trim().to_owned(),
        None => {
            let what = what.unwrap_or(lesson.tool.as_str());
            format!("{what}: {} of {}", apart(lesson.step.as_str()), apart(&lesson.workflow))
        }
    }
}

/// What an agent is for.
pub fn of_agent(profile: &AgentProfile) -> String {
    profile.description.clone()
}

/// Tells texts apart that differ by more than letter case and white space.
pub fn hash(text: &str) -> [u8; 16] {
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(plain.as_bytes())[..16]);
    short
}

fn push(text: &mut String, hint: &str) {
    text.push('\n');
    text.push_str(hint.trim());
}

fn apart(name: &str) -> String {
    name.replace(['_', '-', '.'], " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hints_are_added_to_the_task_and_structure_is_left_out() {
        let context =
            json!({"task_type": "fs.manifest", "n": 3, "tags": ["ssh", "keys"], "flag": true, "more": {"a": 1}});
        let context = context.as_object().expect("an object");
        assert_eq!(of_task(" check it ", context), "check it\n3\nssh\nkeys\nfs.manifest");
    }

    #[test]
    fn case_and_white_space_make_no_other_text() {
        assert_eq!(hash("Check  the disk\n"), hash("check the disk"));
        assert_ne!(hash("check the disk"), hash("check the disks"));
    }
}
