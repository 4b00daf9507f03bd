//! From API shapes to text for people: pure functions, so that what is printed can be tested.
pub mod agent;
pub mod alert;
pub mod audit;
pub mod check;
pub mod cpu;
pub mod playbook;
pub mod prediction;
pub mod run;
pub mod schedule;
pub mod supervision;
pub mod table;
pub mod token;
pub mod tool;
pub mod verdict;
