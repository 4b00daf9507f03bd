//! `dsmil serve` and `dsmil broker`: the arguments made into what the service is started with.
use std::io::IsTerminal;
use std::process::ExitCode;

use crate::app;
use crate::broker::server::run_broker;
use crate::cli::args::ServeArgs;
use crate::cli::fail::Failure;
use crate::cli::shell::Shell;
use crate::config::source::Flag;
use crate::telemetry;

pub fn serve(shell: &Shell, args: ServeArgs) -> Result<(), Failure> {
    let listen = args.listen.map(|listen| Flag { key: "web.listen", flag: "--listen", value: listen.to_string() });
    let loaded = shell.load(listen.into_iter().collect())?;
    let color = !shell.global.no_color && std::io::stderr().is_terminal();
    telemetry::start(&loaded.config.log, color).map_err(|cause| Failure::of(&cause))?;
    app::serve(&loaded.config).map_err(|cause| Failure::of(&cause))
}

/// The privileged half of the service; its parent holds the other end of standard input.
pub fn broker() -> ExitCode {
    run_broker()
}
