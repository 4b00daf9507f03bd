//! Logs: for people on a terminal, JSON otherwise.
