//! How this host and this process are doing: processor, memory, pressure, disk.
pub mod pressure;
pub mod readings;
