//! Tools about installed software.
pub mod dpkg;
pub mod pkg_inventory;
