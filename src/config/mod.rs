//! Configuration: defaults, file, environment and flags, each parsed into types that cannot be wrong.
