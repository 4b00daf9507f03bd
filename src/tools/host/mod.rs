//! Tools that find out what the host is and how it does.
pub mod buses;
pub mod cpu_inspect;
pub mod cpuid;
pub mod cpuinfo;
pub mod exposure;
pub mod host_identity;
pub mod hw_inventory;
pub mod load_read;
pub mod net_links;
pub mod net_state;
pub mod netlink;
pub mod procnet;
pub mod smbios;
pub mod svc_list;
pub mod systemd_bus;
pub mod unit_files;
pub mod virtualisation;
