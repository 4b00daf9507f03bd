//! `dsmil schedules`: list, show, create, pause, resume, run, delete.
use serde_json::{Map, Value, json};

use crate::cli::args_schedules::{CreateArgs, SchedulesCommand};
use crate::cli::document::document;
use crate::cli::fail::Failure;
use crate::cli::render;
use crate::cli::shell::Shell;

pub fn schedules(shell: &Shell, command: SchedulesCommand) -> Result<(), Failure> {
    match command {
        SchedulesCommand::List => {
            let all = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.schedules().await?) })?;
            shell.show(&all, |all, style| render::schedule::list(&all.schedules, style))
        }
        SchedulesCommand::Show { schedule } => {
            let shown = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.schedule(&schedule).await?) })?;
            shell.show(&shown, render::schedule::show)
        }
        SchedulesCommand::Create(args) => {
            let wanted = wanted(args)?;
            let made = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.create_schedule(&wanted).await?) })?;
            shell.show(&made, |made, _| format!("{}\n", render::schedule::next(made)))
        }
        SchedulesCommand::Pause { schedule } => set(shell, &schedule, "pause"),
        SchedulesCommand::Resume { schedule } => set(shell, &schedule, "resume"),
        SchedulesCommand::Run { schedule } => {
            let ordered = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.run_schedule(&schedule).await?) })?;
            shell.show(&ordered, |ordered, _| match &ordered.firing.workflow_id {
                Some(run) => format!("{run}\n"),
                None => format!("{} waits for its last run\n", ordered.name),
            })
        }
        SchedulesCommand::Delete { schedule } => {
            let gone = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.delete_schedule(&schedule).await?) })?;
            shell.show(&gone, |gone, _| format!("{} is deleted\n", gone.name))
        }
    }
}

fn set(shell: &Shell, schedule: &str, how: &str) -> Result<(), Failure> {
    let stands = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.set_schedule(schedule, how).await?) })?;
    shell.show(&stands, |stands, _| format!("{}\n", render::schedule::next(stands)))
}

/// The schedule that the arguments ask for: a document that has a `workflow` is a whole schedule, which they change.
fn wanted(args: CreateArgs) -> Result<Value, Failure> {
    let read = document(&args.what, Vec::new())?;
    let is_schedule = read.get("workflow").is_some();
    let mut schedule = match read {
        Value::Object(schedule) if is_schedule => schedule,
        workflow => {
            let named = ["name", "playbook"].iter().find_map(|key| workflow.get(key).cloned());
            let name = named.map(|name| ("name".to_owned(), name));
            name.into_iter().chain([("workflow".to_owned(), workflow)]).collect()
        }
    };
    if !args.inputs.is_empty() {
        let given: Map<String, Value> = args.inputs.into_iter().collect();
        let Some(workflow) = schedule.get_mut("workflow").and_then(Value::as_object_mut) else {
            return Err(Failure::usage(format!("{} has no workflow to give an input to", args.what)));
        };
        match workflow.entry("inputs").or_insert_with(|| json!({})) {
            Value::Object(inputs) => inputs.extend(given),
            other => *other = Value::Object(given),
        }
    }
    // An interval takes the place of a pattern, and a pattern that of an interval.
    for (key, other, value) in [("cron", "every", args.cron), ("every", "cron", args.every)] {
        if let Some(value) = value {
            schedule.remove(other);
            schedule.insert(key.to_owned(), value.into());
        }
    }
    let texts =
        [("name", args.name), ("time_zone", args.time_zone), ("catch_up", args.catch_up), ("overlap", args.overlap)];
    let texts = texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    schedule.extend(texts);
    if args.paused {
        schedule.insert("paused".to_owned(), true.into());
    }
    Ok(Value::Object(schedule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(what: &str) -> CreateArgs {
        CreateArgs {
            what: what.to_owned(),
            name: None,
            cron: None,
            every: Some("6h".to_owned()),
            time_zone: None,
            catch_up: None,
            overlap: None,
            paused: false,
            inputs: vec![("root".to_owned(), "/etc".into())],
        }
    }

    #[test]
    fn a_playbook_or_a_workflow_gives_its_name() {
        let expected = json!({
            "name": "host-baseline", "every": "6h",
            "workflow": { "playbook": "host-baseline", "inputs": { "root": "/etc" } },
        });
        assert_eq!(wanted(args("host-baseline")).map_err(|fault| fault.message), Ok(expected));
    }

    #[test]
    fn a_whole_schedule_is_taken_and_the_arguments_win() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s.yaml");
        let text = "name: nightly\ncron: 0 3 * * *\ntime_zone: Europe/Berlin\nworkflow: { agents: [PACER] }\n";
        std::fs::write(&path, text).expect("a file");
        let expected = json!({
            "name": "n", "every": "6h", "time_zone": "Europe/Berlin", "overlap": "queue", "paused": true,
            "workflow": { "agents": ["PACER"], "inputs": { "root": "/etc" } },
        });
        let (name, overlap) = (Some("n".to_owned()), Some("queue".to_owned()));
        let args = CreateArgs { name, overlap, paused: true, ..args(&path.to_string_lossy()) };
        assert_eq!(wanted(args).map_err(|fault| fault.message), Ok(expected));
    }
}
