//! `dsmil serve` and `dsmil broker`: the arguments made into what the service is started with.
use crate::cli::args::{BrokerArgs, ServeArgs};
use crate::cli::fail::Failure;
use crate::cli::shell::Shell;
use crate::config::Loaded;
use crate::config::source::Flag;

pub fn serve(shell: &Shell, args: ServeArgs) -> Result<(), Failure> {
    let listen = args.listen.map(|listen| Flag { key: "web.listen", flag: "--listen", value: listen.to_string() });
    run_service(shell.load(listen.into_iter().collect())?)
}

pub fn broker(args: BrokerArgs) -> Result<(), Failure> {
    run_broker(args.socket_fd)
}

fn run_service(loaded: Loaded) -> Result<(), Failure> {
    Err(Failure::failed(format!("no service is built in, so nothing listens on {}", loaded.config.web.listen)))
}

fn run_broker(_socket_fd: Option<i32>) -> Result<(), Failure> {
    Err(Failure::failed("no broker is built in"))
}
