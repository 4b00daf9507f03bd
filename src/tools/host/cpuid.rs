//! What the processor says of itself, as far as it can be asked without privileges.
#[cfg(target_arch = "x86_64")]
use raw_cpuid::CpuId;

/// Instruction sets that this process may really use: the processor has them and the system saves their registers.
/// Pairs of the kernel's name of the flag and the answer.
#[cfg(target_arch = "x86_64")]
pub fn usable() -> Vec<(&'static str, bool)> {
    vec![
        ("sse2", is_x86_feature_detected!("sse2")),
        ("pni", is_x86_feature_detected!("sse3")),
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("sse4_1", is_x86_feature_detected!("sse4.1")),
        ("sse4_2", is_x86_feature_detected!("sse4.2")),
        ("popcnt", is_x86_feature_detected!("popcnt")),
        ("abm", is_x86_feature_detected!("lzcnt")),
        ("aes", is_x86_feature_detected!("aes")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("sha_ni", is_x86_feature_detected!("sha")),
        ("rdrand", is_x86_feature_detected!("rdrand")),
        ("rdseed", is_x86_feature_detected!("rdseed")),
        ("adx", is_x86_feature_detected!("adx")),
        ("bmi1", is_x86_feature_detected!("bmi1")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("gfni", is_x86_feature_detected!("gfni")),
        ("vaes", is_x86_feature_detected!("vaes")),
        ("vpclmulqdq", is_x86_feature_detected!("vpclmulqdq")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512cd", is_x86_feature_detected!("avx512cd")),
        ("avx512dq", is_x86_feature_detected!("avx512dq")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
        ("avx512ifma", is_x86_feature_detected!("avx512ifma")),
        ("avx512vbmi", is_x86_feature_detected!("avx512vbmi")),
        ("avx512_vbmi2", is_x86_feature_detected!("avx512vbmi2")),
        ("avx512_vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512_bitalg", is_x86_feature_detected!("avx512bitalg")),
        ("avx512_vpopcntdq", is_x86_feature_detected!("avx512vpopcntdq")),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
pub fn usable() -> Vec<(&'static str, bool)> {
    Vec::new()
}

/// The hypervisor that presents itself in leaf 0x4000_0000.
#[cfg(target_arch = "x86_64")]
pub fn hypervisor() -> Option<String> {
    CpuId::new().get_hypervisor_info().map(|info| format!("{:?}", info.identify()).to_ascii_lowercase())
}

#[cfg(not(target_arch = "x86_64"))]
pub fn hypervisor() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_registers_imply_the_narrower() {
        let has = |name: &str| usable().iter().any(|(flag, usable)| *flag == name && *usable);
        assert!(!has("avx2") || has("avx"));
        assert!(!has("avx512f") || has("avx2"));
        assert!(!cfg!(target_arch = "x86_64") || has("sse2"), "part of the architecture");
    }
}
