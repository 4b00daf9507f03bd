//! Which instruction sets this process may use, the level they add up to, and the code that is chosen by them.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// The micro-architecture levels of the x86-64 psABI (section 3.1.1), without the flags that every processor of that
/// level has and Rust cannot ask for.
const LEVELS: &[(&str, &[&str])] = &[
    ("x86-64-v4", &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
    ("x86-64-v3", &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm"]),
    ("x86-64-v2", &["popcnt", "pni", "sse4_1", "sse4_2", "ssse3"]),
];

/// Code for one operation, chosen when the program starts by what the processor can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kernel {
    pub operation: String,
    pub kernel: String,
}

/// The highest level whose features, and those of all levels below, are there.
pub fn level(features: &[(&str, bool)]) -> &'static str {
    let has = |name: &str| features.iter().any(|(feature, usable)| *feature == name && *usable);
    let complete = |place: usize| LEVELS[place..].iter().all(|(_, needed)| needed.iter().all(|name| has(name)));
    match (0..LEVELS.len()).find(|place| complete(*place)) {
        Some(place) => LEVELS[place].0,
        None if cfg!(target_arch = "x86_64") => "x86-64",
        None if cfg!(target_arch = "aarch64") => "aarch64",
        None => "unknown",
    }
}

/// What the hashing of this build runs on: the sha2 crate asks for the same features.
pub fn kernels(features: &[(&str, bool)]) -> Vec<Kernel> {
    let has = |name: &str| features.iter().any(|(feature, usable)| *feature == name && *usable);
    let sha256 =
        if has("sha_ni") && has("sse4_1") && has("ssse3") { "SHA-NI, one message at a time" } else { "portable" };
    let kernel = |operation: &str| Kernel { operation: operation.to_owned(), kernel: sha256.to_owned() };
    vec![kernel("sha256"), kernel("merkle")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_needs_all_levels_below_it() {
        let up_to = |places: &[usize]| -> Vec<(&str, bool)> {
            places.iter().flat_map(|place| LEVELS[*place].1.iter().map(|name| (*name, true))).collect()
        };
        let table: [(&[usize], &str); 5] = [
            (&[], "x86-64"),
            (&[2], "x86-64-v2"),
            (&[1, 2], "x86-64-v3"),
            (&[0, 1, 2], "x86-64-v4"),
            (&[0, 2], "x86-64-v2"),
        ];
        for (places, expected) in table {
            if cfg!(target_arch = "x86_64") {
                assert_eq!(level(&up_to(places)), expected, "{places:?}");
            }
        }
        let mut lacking = up_to(&[0, 1, 2]);
        lacking[0].1 = false;
        assert_eq!(level(&lacking), "x86-64-v3");
    }

    #[test]
    fn every_feature_of_a_level_can_be_asked_for() {
        let known: Vec<&str> = usable().into_iter().map(|(name, _)| name).collect();
        for name in LEVELS.iter().flat_map(|(_, needed)| *needed) {
            assert!(!cfg!(target_arch = "x86_64") || known.contains(name), "{name}");
        }
    }

    #[test]
    fn without_the_instructions_the_portable_code_is_named() {
        assert!(kernels(&[]).iter().all(|kernel| kernel.kernel == "portable"));
        let all = [("sha_ni", true), ("sse4_1", true), ("ssse3", true)];
        assert!(kernels(&all).iter().all(|kernel| kernel.kernel.starts_with("SHA-NI")));
    }

    #[test]
    fn wider_registers_imply_the_narrower() {
        let has = |name: &str| usable().iter().any(|(flag, usable)| *flag == name && *usable);
        assert!(!has("avx2") || has("avx"));
        assert!(!has("avx512f") || has("avx2"));
        assert!(!cfg!(target_arch = "x86_64") || has("sse2"), "part of the architecture");
    }
}
