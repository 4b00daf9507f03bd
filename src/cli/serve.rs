//! `dsmil serve` and `dsmil broker`: the arguments made into what the service is started with.
use std::process::ExitCode;

use crate::broker::server::run_broker;
use crate::cli::args::ServeArgs;
use crate::cli::fail::Failure;
use crate::cli::shell::Shell;
use crate::config::Loaded;
use crate::config::source::Flag;

pub fn serve(shell: &Shell, args: ServeArgs) -> Result<(), Failure> {
    let listen = args.listen.map(|listen| Flag { key: "web.listen", flag: "--listen", value: listen.to_string() });
    run_service(shell.load(listen.into_iter().collect())?)
}

/// Its socket to the service is its standard input.
pub fn broker() -> ExitCode {
    run_broker()
}

fn run_service(loaded: Loaded) -> Result<(), Failure> {
    Err(Failure::failed(format!("no service is built in, so nothing listens on {}", loaded.config.web.listen)))
}
