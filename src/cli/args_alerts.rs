//! The arguments of `dsmil alerts`.
use clap::Subcommand;

#[derive(Debug, Clone, Subcommand)]
pub enum AlertsCommand {
    /// List what is pending or firing
    List {
        /// What was resolved of late, too
        #[arg(long)]
        all: bool,
    },
    /// Say that you have seen a firing alert
    Ack {
        id: String,
        /// For those who see it next
        #[arg(long, default_value = "", value_name = "TEXT")]
        comment: String,
    },
    /// Send the reading of the exercise rule (`test.level`) through the whole way
    Test {
        /// End the exercise
        #[arg(long)]
        clear: bool,
    },
    /// List the metrics that rules can be about, with their present readings
    Metrics,
}
