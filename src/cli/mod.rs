//! The command line: `args` declares it, one file per command asks, `render` prints.
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::args::{Cli, Command};
use crate::cli::fail::Failure;
use crate::cli::shell::Shell;

pub mod agents;
pub mod alerts;
pub mod args;
pub mod args_alerts;
pub mod args_runs;
pub mod args_schedules;
pub mod args_supervision;
pub mod audit;
pub mod child;
pub mod config;
pub mod cpu;
pub mod doctor;
pub mod document;
pub mod fail;
pub mod follow;
#[cfg(test)]
mod over_the_wire;
pub mod playbooks;
pub mod render;
pub mod runs;
pub mod schedules;
pub mod serve;
pub mod shell;
pub mod submit;
pub mod supervision;
pub mod token;
pub mod tools;
pub mod up;

/// Parses the command line and carries it out. Runs no thread and no event loop of its own before the command does,
/// so that `serve` may still split its process in two.
pub fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let shell = Shell { global };
    match carry_out(&shell, command) {
        Ok(status) => status,
        Err(failure) => {
            shell::warn(&format!("dsmil: {}", failure.message));
            failure.code()
        }
    }
}

fn carry_out(shell: &Shell, command: Command) -> Result<ExitCode, Failure> {
    let done = match command {
        // It reports in its own way.
        Command::Broker => return Ok(serve::broker()),
        Command::Serve(args) => serve::serve(shell, args),
        Command::Up(args) => up::up(shell, args),
        Command::Submit(args) => submit::submit(shell, args),
        Command::Runs(command) => runs::runs(shell, command),
        Command::Agents(command) => agents::agents(shell, command),
        Command::Supervision(args) => supervision::supervision(shell, args),
        Command::Tools(command) => tools::tools(shell, command),
        Command::Playbooks(command) => playbooks::playbooks(shell, command),
        Command::Audit(command) => audit::audit(shell, command),
        Command::Schedules(command) => schedules::schedules(shell, command),
        Command::Alerts(command) => alerts::alerts(shell, command),
        Command::Token(command) => token::token(shell, command),
        Command::Cpu => cpu::cpu(shell),
        Command::Doctor => doctor::doctor(shell),
        Command::Config(command) => config::config(shell, command),
        Command::Completions { shell: kind } => {
            let mut script = Vec::new();
            clap_complete::generate(kind, &mut Cli::command(), "dsmil", &mut script);
            shell.print(&String::from_utf8_lossy(&script))
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
