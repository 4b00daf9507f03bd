//! Builds every part of the service, starts it and stops it.
pub mod faculties;
pub mod shipped;
