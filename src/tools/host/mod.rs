//! Tools that find out what the host is and how it does.
pub mod load_read;
