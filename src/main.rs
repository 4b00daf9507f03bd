//! Parse the command line, hand over.
use std::process::ExitCode;

/// What one thread makes another frees, all the time: requests, runs, agents and the database have threads of their own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dsmil::cli::main()
}
