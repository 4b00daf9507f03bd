//! The binary carries these folders: it is built anew when a file in them comes or goes.
fn main() {
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=config");
    println!("cargo::rerun-if-changed=migrations");
}
