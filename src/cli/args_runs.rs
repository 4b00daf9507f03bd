//! The options of `dsmil runs`.
use clap::{Args, Subcommand};

use crate::cli::args::key_value;

#[derive(Debug, Clone, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    List(RunsListArgs),
    /// Show a run with its steps
    Show { id: String },
    /// Follow a run until it has ended; the exit status follows it
    Watch { id: String },
    /// End a run before its time
    Cancel {
        id: String,
        /// Undo what it changed, whatever its document says
        #[arg(long)]
        undo: bool,
    },
    /// Begin nothing more of a run until it is resumed
    Pause { id: String },
    /// Let a paused run go on
    Resume { id: String },
    /// Undo what a run changed, the last first
    Undo { id: String },
    /// Do again what did not succeed in a run that has ended
    Retry { id: String },
    /// Start a run like this one, with what succeeded before a step carried over
    Fork {
        id: String,
        /// The first step that is done anew; all are by default
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
        /// Another value for an input, as JSON or else as text
        #[arg(long = "input", value_name = "KEY=VALUE", value_parser = key_value)]
        inputs: Vec<(String, serde_json::Value)>,
    },
    /// Give a signal to a step that waits for it
    Signal {
        id: String,
        name: String,
        /// What the step is given
        #[arg(long, value_name = "JSON", value_parser = json)]
        data: Option<serde_json::Value>,
    },
    /// Decide about a step that waits for approval; without --yes or --no, show what it is
    Approve {
        id: String,
        step: String,
        /// Let it be done, exactly as it is shown
        #[arg(long, conflicts_with = "no")]
        yes: bool,
        /// Do not let it be done
        #[arg(long)]
        no: bool,
        #[arg(long)]
        comment: Option<String>,
    },
}

#[derive(Debug, Clone, Default, Args)]
pub struct RunsListArgs {
    /// Only runs of this status
    #[arg(long)]
    pub status: Option<String>,
    /// Only runs of this name
    #[arg(long)]
    pub name: Option<String>,
    /// Only runs that this agent takes part in
    #[arg(long)]
    pub agent: Option<String>,
    /// Only runs with this label; may be given more than once
    #[arg(long = "label", value_name = "KEY:VALUE")]
    pub labels: Vec<String>,
    /// Only runs accepted at this time or later, such as 2026-11-25T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only runs accepted before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
    /// Go on where an earlier list ended
    #[arg(long)]
    pub cursor: Option<String>,
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|cause| format!("not JSON: {cause}"))
}
