//! The command line: parse, ask the service, print.
