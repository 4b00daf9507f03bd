//! The typed tools, one file each, and the ordered list of them.
//!
//! A tool is a unit struct with a `spec` and a `call`. The call parses its input (`input::parse`), reads the host through
//! a `Reader`, which keeps the evidence and the list of what could not be read, and ends with `Reader::finish`.
//! `host/load_read.rs` is the model. A tool that changes the host has a `Change` besides; `fs/fs_write.rs` is the model.
pub mod bundle;
pub mod catalogue;
pub mod control;
pub mod evidence;
#[cfg(test)]
pub mod fixture_cx;
pub mod fs;
pub mod host;
pub mod input;
pub mod learn;
pub mod persist;
pub mod pkg;
pub mod program;
pub mod redact;
pub mod report;
pub mod schema;
pub mod secret;
pub mod storage;
pub mod toolbox;
#[cfg(test)]
mod torn_host;
pub mod tpm;

use crate::toolkit::spec::Tool;
use crate::tools::control::cp_echo::CpEcho;
use crate::tools::fs::fs_manifest::FsManifest;
use crate::tools::fs::fs_write::FsWrite;
use crate::tools::host::cpu_inspect::CpuInspect;
use crate::tools::host::host_identity::HostIdentity;
use crate::tools::host::hw_inventory::HwInventory;
use crate::tools::host::load_read::LoadRead;
use crate::tools::host::net_links::NetLinks;
use crate::tools::host::svc_list::SvcList;
use crate::tools::learn::learn_stats::LearnStats;
use crate::tools::persist::persist_list::PersistList;
use crate::tools::pkg::pkg_inventory::PkgInventory;
use crate::tools::report::report_render::ReportRender;
use crate::tools::storage::storage_map::StorageMap;
use crate::tools::tpm::tpm_attest::TpmAttest;

/// Every tool that is built, in alphabetical order of its id.
pub const ALL: &[&dyn Tool] = &[
    &CpEcho,
    &CpuInspect,
    &FsManifest,
    &FsWrite,
    &HostIdentity,
    &HwInventory,
    &LearnStats,
    &LoadRead,
    &NetLinks,
    &PersistList,
    &PkgInventory,
    &ReportRender,
    &StorageMap,
    &SvcList,
    &TpmAttest,
];
