//! The options of `dsmil runs list`.
use clap::Args;

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
