//! The arguments of `dsmil schedules`.
use clap::{Args, Subcommand};

use crate::cli::args::key_value;

#[derive(Debug, Clone, Subcommand)]
pub enum SchedulesCommand {
    /// List the schedules and when they are due next
    List,
    /// Show a schedule with its newest firings
    Show { schedule: String },
    /// Have a workflow or a playbook run again and again
    Create(CreateArgs),
    /// Start nothing by a schedule until it is resumed
    Pause { schedule: String },
    /// Let a paused schedule go on; what was due meanwhile is not made up for
    Resume { schedule: String },
    /// Have a schedule run now
    Run { schedule: String },
    /// Delete a schedule; its runs go on
    Delete { schedule: String },
}

#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// A YAML or JSON file (`-` reads standard input) with a workflow or with a whole schedule, or a playbook's name
    #[arg(value_name = "FILE|PLAYBOOK")]
    pub what: String,
    /// The schedule's name; that of the workflow or playbook if left out
    #[arg(long)]
    pub name: Option<String>,
    /// Five fields: minute, hour, day of month, month, weekday
    #[arg(long, value_name = "PATTERN", conflicts_with = "every")]
    pub cron: Option<String>,
    /// An interval, such as 30s or 6h
    #[arg(long, value_name = "DURATION")]
    pub every: Option<String>,
    /// The time zone of the pattern, such as Europe/Berlin; UTC if left out
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// What becomes of times that passed while the service was away: the newest is made up for if left out
    #[arg(long, value_name = "skip|one|all")]
    pub catch_up: Option<String>,
    /// What becomes of a time at which the last run is still open: it is skipped if left out
    #[arg(long, value_name = "skip|queue|allow|cancel_previous")]
    pub overlap: Option<String>,
    /// Start nothing until it is resumed
    #[arg(long)]
    pub paused: bool,
    /// An input of the workflow; the value may be JSON
    #[arg(long = "input", value_name = "KEY=VALUE", value_parser = key_value)]
    pub inputs: Vec<(String, serde_json::Value)>,
}
