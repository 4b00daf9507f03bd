//! The options of `dsmil supervision`, and the faults of drills.
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::api::supervision::{Drill, FaultKind};
use crate::toolkit::duration;

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SupervisionArgs {
    /// Print the tree again whenever it changes, until interrupted
    #[arg(long)]
    pub watch: bool,
    #[command(subcommand)]
    pub command: Option<SupervisionCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum SupervisionCommand {
    /// Have a child fail on purpose, where the configuration allows drills
    Drill {
        child: String,
        #[command(flatten)]
        fault: FaultArgs,
    },
}

#[derive(Debug, Clone, Args)]
pub struct FaultArgs {
    #[arg(value_enum)]
    pub fault: Fault,
    /// For stall and slow: for how long, as in 200ms or 2s
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub time: Option<Duration>,
    /// For slow and fail: how many of the next requests it befalls
    #[arg(long, value_name = "N")]
    pub calls: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// It panics
    Panic,
    /// It holds its thread once
    Stall,
    /// Its next replies come later
    Slow,
    /// Its next requests fail
    Fail,
}

impl From<FaultArgs> for Drill {
    fn from(FaultArgs { fault, time, calls }: FaultArgs) -> Self {
        let fault = match fault {
            Fault::Panic => FaultKind::Panic,
            Fault::Stall => FaultKind::Stall,
            Fault::Slow => FaultKind::Slow,
            Fault::Fail => FaultKind::Fail,
        };
        let ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Drill { fault, ms, calls }
    }
}
