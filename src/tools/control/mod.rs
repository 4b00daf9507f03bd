//! Tools about the control plane itself.
pub mod cp_echo;
