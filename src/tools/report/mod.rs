//! Tools that write for people.
pub mod report_render;
