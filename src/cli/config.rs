//! `dsmil config`: check the configuration, or print what is in force and who said so.
use serde_json::{Map, Value, json};

use crate::cli::args::ConfigCommand;
use crate::cli::fail::Failure;
use crate::cli::render::table::{Row, Tone, table};
use crate::cli::shell::Shell;
use crate::config::Setting;

pub fn config(shell: &Shell, command: ConfigCommand) -> Result<(), Failure> {
    let loaded = match (shell.load(Vec::new()), &command) {
        // Here a faulty configuration is the answer, not wrong usage of the command.
        (Err(failure), ConfigCommand::Check) => return Err(Failure::failed(failure.message)),
        (loaded, _) => loaded?,
    };
    match command {
        ConfigCommand::Check => {
            let from = loaded.file.map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
            shell.say(&format!("the configuration is valid ({from}, {} settings)", loaded.origins.len()));
            Ok(())
        }
        ConfigCommand::Show { origin } if shell.is_json() => {
            let value = |setting: &Setting| match origin {
                true => json!({ "value": setting.value, "origin": setting.origin.to_string() }),
                false => Value::from(setting.value.clone()),
            };
            let all: Map<String, Value> =
                loaded.origins.iter().map(|setting| (setting.key.to_owned(), value(setting))).collect();
            shell.show(&all, |_, _| String::new())
        }
        ConfigCommand::Show { origin } => {
            let row = |setting: &Setting| {
                let mut cells = vec![setting.key.to_owned(), setting.value.clone()];
                cells.extend(origin.then(|| setting.origin.to_string()));
                Row::new(Tone::Plain, cells)
            };
            let heading: &[&str] = if origin { &["key", "value", "origin"] } else { &["key", "value"] };
            shell.print(&table(shell.style(), heading, &loaded.origins.iter().map(row).collect::<Vec<_>>()))
        }
    }
}
