//! Parse the command line, hand over.
use std::process::ExitCode;

fn main() -> ExitCode {
    dsmil::cli::main()
}
