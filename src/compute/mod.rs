//! Work for the processor alone: what is computed over many pieces of data, and with which instructions.
pub mod cpu;
pub mod digests;
