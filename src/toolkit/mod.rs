//! What a tool is, independent of any tool: its specification, its result, and what it may reach while it works.
pub mod bench;
pub mod causes;
pub mod change;
pub mod cx;
pub mod duration;
pub mod learned;
pub mod output;
pub mod spec;
pub mod tpm_choice;
