//! The command line, declared: every command of this release and its options.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::access::role::Role;
use crate::cli::args_alerts::AlertsCommand;
use crate::cli::args_runs::RunsCommand;
use crate::cli::args_schedules::SchedulesCommand;
use crate::cli::args_supervision::{FaultArgs, SupervisionArgs};

/// Control plane for a secured Linux host: supervised agents, durable workflows, a TPM-signed audit log.
#[derive(Debug, Parser)]
#[command(name = "dsmil", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done, 1 the asked-for thing failed, 2 wrong usage, 3 service not reachable, 4 not permitted."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", env = "DSMIL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the service keeps its data
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the service; found in the data directory on its own host
    #[arg(long, global = true, value_name = "URL", env = "DSMIL_URL")]
    pub url: Option<String>,
    /// File that holds the token; else DSMIL_TOKEN, else the data directory
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How to print data
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Print no messages and no progress, only data and failures
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Use no colours; NO_COLOR does the same
    #[arg(long, global = true)]
    pub no_color: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Serve(ServeArgs),
    /// Start the service if need be, run a playbook on this host, and keep serving
    Up(UpArgs),
    /// Submit a workflow document or a playbook
    Submit(SubmitArgs),
    /// Runs of workflows
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Workflows that are run again and again
    #[command(subcommand)]
    Schedules(SchedulesCommand),
    /// The agents
    #[command(subcommand)]
    Agents(AgentsCommand),
    /// The supervision tree
    Supervision(SupervisionArgs),
    /// The tools that agents may be given
    #[command(subcommand)]
    Tools(ToolsCommand),
    /// Workflows that the service keeps by name
    #[command(subcommand)]
    Playbooks(PlaybooksCommand),
    /// The tamper-evident audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Tokens: who may ask the service for what
    #[command(subcommand)]
    Token(TokenCommand),
    /// What is wrong, and what is done about it
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// What the processor can do, and how fast the hashing is on it
    Cpu,
    /// Check what the service needs on this host, and say how to mend what is missing
    Doctor,
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// The privileged helper of a service that was started as root
    #[command(hide = true)]
    Broker,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Stop the service after the playbook; the exit status is the verdict
    #[arg(long)]
    pub once: bool,
    /// The playbook to run
    #[arg(default_value = "host-baseline")]
    pub playbook: String,
    /// An input of the playbook; the value may be JSON
    #[arg(long = "input", value_name = "KEY=VALUE", value_parser = key_value)]
    pub inputs: Vec<(String, serde_json::Value)>,
}

#[derive(Debug, Clone, Args)]
pub struct SubmitArgs {
    /// A YAML or JSON file (`-` reads standard input), or the name of a playbook
    #[arg(value_name = "FILE|PLAYBOOK")]
    pub what: String,
    /// An input of the workflow; the value may be JSON
    #[arg(long = "input", value_name = "KEY=VALUE", value_parser = key_value)]
    pub inputs: Vec<(String, serde_json::Value)>,
    /// Wait until the run has ended; the exit status follows it
    #[arg(long)]
    pub wait: bool,
    /// Only check the workflow; store and run nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Sent again with the same key, the same workflow is not run again
    #[arg(long, value_name = "KEY", conflicts_with = "dry_run")]
    pub idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum AgentsCommand {
    /// List the agents and how they are doing
    List {
        /// Only agents in this state
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one agent with its instructions
    Show { agent: String },
    /// Run an agent's default tool, or another of its tools, as a one-step workflow
    Run {
        agent: String,
        #[arg(long)]
        tool: Option<String>,
        /// Input of the tool: a JSON object
        #[arg(long, value_name = "JSON", value_parser = json_object)]
        input: Option<serde_json::Value>,
    },
    /// End an agent and start it anew
    Restart { agent: String },
    /// Have an agent fail on purpose, where the configuration allows drills
    Drill {
        agent: String,
        #[command(flatten)]
        fault: FaultArgs,
    },
    /// Ask who should do a task, how sure that is, and why
    Predict {
        /// The task in words
        task: String,
        /// A hint, whose value is read with the task
        #[arg(long = "context", value_name = "KEY=VALUE", value_parser = key_value)]
        context: Vec<(String, serde_json::Value)>,
        /// How many agents to list
        #[arg(long, default_value_t = 5)]
        top: usize,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum ToolsCommand {
    /// List the tools
    List {
        /// Also those that this release has no code for
        #[arg(long)]
        all: bool,
    },
    /// Show one tool with its schemas
    Show { tool: String },
    /// Run a tool as an agent that holds it, as a one-step workflow
    Run {
        tool: String,
        /// The agent; the first that holds the tool if left out
        #[arg(long)]
        agent: Option<String>,
        /// Input of the tool: a JSON object
        #[arg(long, value_name = "JSON", value_parser = json_object)]
        input: Option<serde_json::Value>,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum PlaybooksCommand {
    /// List the playbooks
    List,
    /// Show one playbook
    Show { name: String },
}

#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Show the newest entries
    Tail {
        /// How many
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        lines: u64,
        /// Go on showing entries as they come
        #[arg(long, short)]
        follow: bool,
    },
    /// Verify a log on disk, offline
    Verify {
        /// The directory of the log; that of the data directory if left out
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// The verifier key; that of the data directory if left out, which proves consistency, not origin
        #[arg(long, value_name = "FILE")]
        vkey: Option<PathBuf>,
        /// A checkpoint that was kept elsewhere: the log must have grown from it
        #[arg(long, value_name = "CHECKPOINT")]
        pin: Option<PathBuf>,
    },
    /// Fetch the proof that an entry is in the log, and check it
    Prove {
        index: u64,
        /// Write the proof to a file instead of standard output
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// The verifier key, kept elsewhere; the service's own answer if left out
        #[arg(long, value_name = "FILE")]
        vkey: Option<PathBuf>,
    },
    /// Write entries as JSON lines
    Export {
        /// First index
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Index after the last; the end of the log if left out
        #[arg(long)]
        to: Option<u64>,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is shown once. The first admin token ends the one in `admin.token`
    Create {
        /// Who or what will hold it
        name: String,
        /// viewer reads, operator runs workflows, admin makes tokens
        #[arg(long, value_name = "viewer|operator|admin")]
        role: Role,
        /// After how long it expires, such as 30d; never if left out
        #[arg(long, value_name = "DURATION")]
        expires: Option<String>,
        /// Write it to a new file of mode 0600 instead; without FILE to where the commands of this host look for it
        #[arg(long, value_name = "FILE", num_args = 0..=1)]
        save: Option<Option<PathBuf>>,
    },
    /// List the tokens, without their secrets
    List,
    /// Revoke a token; what it signed in ends at once
    Revoke { id: String },
}

#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and report every fault
    Check,
    /// Print the configuration in force
    Show {
        /// With where each value comes from
        #[arg(long)]
        origin: bool,
    },
}

/// `KEY=VALUE`; a value that is JSON is taken as such, anything else is text.
pub(super) fn key_value(text: &str) -> Result<(String, serde_json::Value), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    if key.is_empty() {
        return Err(format!("`{text}` has no key before the `=`"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::from(value));
    Ok((key.to_owned(), value))
}

fn json_object(text: &str) -> Result<serde_json::Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ serde_json::Value::Object(_)) => Ok(object),
        Ok(_) => Err("a JSON object is needed, such as {\"paths\": [\"/etc\"]}".to_owned()),
        Err(cause) => Err(format!("not JSON: {cause}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_input_may_be_json_or_text() {
        let check = |text: &str, value: serde_json::Value| {
            assert_eq!(key_value(text), Ok(("k".to_owned(), value)), "{text}");
        };
        check("k=3", 3.into());
        check("k=[\"/etc\"]", serde_json::json!(["/etc"]));
        check("k=/etc", "/etc".into());
        check("k=a=b", "a=b".into());
        check("k=", "".into());
        assert!(key_value("k").is_err());
        assert!(key_value("=3").is_err());
    }

    #[test]
    fn the_commands_of_the_contract_are_understood() {
        for line in [
            "serve --listen 127.0.0.1:8787",
            "up --once",
            "up host-baseline --input paths=[\"/etc\"]",
            "submit flow.yaml --wait --input root=/etc",
            "submit host-baseline --dry-run --output json",
            "runs list --status failed --limit 5",
            "runs list --agent PACER --label team:red --label a:b --since 2026-11-25T00:00:00Z",
            "submit flow.yaml --idempotency-key k",
            "runs watch 0190f5a2-0000-7000-8000-000000000000",
            "schedules list",
            "schedules create flow.yaml --cron @daily --time-zone Europe/Berlin --overlap queue",
            "schedules create host-baseline --every 6h --catch-up all --paused --name b",
            "schedules run nightly",
            "agents run PACER",
            "agents predict disk --context kind=smart",
            "supervision --watch",
            "tools run load.read --agent PACER --input {}",
            "audit verify --dir d --vkey k --pin c",
            "audit prove 3",
            "config show --origin",
            "token create ci --role operator --expires 30d",
            "token revoke 0123456789ab",
            "completions bash",
            "broker",
        ] {
            let words = std::iter::once("dsmil").chain(line.split(' '));
            if let Err(cause) = Cli::try_parse_from(words) {
                panic!("`{line}`: {cause}");
            }
        }
    }
}
