//! What the processor says of itself, as far as it can be asked without privileges.
#[cfg(target_arch = "x86_64")]
use raw_cpuid::CpuId;

/// The hypervisor that presents itself in leaf 0x4000_0000.
#[cfg(target_arch = "x86_64")]
pub fn hypervisor() -> Option<String> {
    CpuId::new().get_hypervisor_info().map(|info| format!("{:?}", info.identify()).to_ascii_lowercase())
}

#[cfg(not(target_arch = "x86_64"))]
pub fn hypervisor() -> Option<String> {
    None
}
