//! `cpu.inspect`: processor identity, usable instruction sets, core kinds, microcode and mitigations.
use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::compute::cpu;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::spec::Tool;
use crate::toolkit::spec::ToolSpec;
use crate::tools::bundle::Bundle;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Started;
use crate::tools::evidence::Unread;
use crate::tools::evidence::sha256;
use crate::tools::host::cpuinfo;
use crate::tools::host::cpuinfo::Processor;
use crate::tools::input;
use crate::tools::input::NoInput;
use crate::tools::schema;

/// Instruction sets worth naming, by the kernel's names.
const ISA: [&str; 42] = [
    "sse2",
    "pni",
    "ssse3",
    "sse4_1",
    "sse4_2",
    "popcnt",
    "abm",
    "aes",
    "pclmulqdq",
    "sha_ni",
    "rdrand",
    "rdseed",
    "adx",
    "bmi1",
    "bmi2",
    "avx",
    "f16c",
    "fma",
    "avx2",
    "avx_vnni",
    "gfni",
    "vaes",
    "vpclmulqdq",
    "avx512f",
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512vl",
    "avx512ifma",
    "avx512vbmi",
    "avx512_vbmi2",
    "avx512_vnni",
    "avx512_bitalg",
    "avx512_vpopcntdq",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "user_shstk",
    "ibt",
    "serialize",
];

/// Register sets and the flag that the kernel drops when it does not save them.
const REGISTERS: [(&str, &str); 5] =
    [("x87", "fpu"), ("sse", "sse"), ("avx", "avx"), ("avx512", "avx512f"), ("amx", "amx_tile")];

pub struct CpuInspect;

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Cpu {
    vendor: Option<String>,
    /// The model number; the name is in `model_name`.
    model: Option<u32>,
    model_name: Option<String>,
    family: Option<u32>,
    stepping: Option<u32>,
    /// Instruction sets that programs may use, by the kernel's names.
    isa: Vec<String>,
    /// Instruction sets on which the kernel's list and this process's own detection differ.
    isa_disputed: Vec<String>,
    /// Register sets that the system saves, and that may therefore be used.
    xcr0_ok: Vec<String>,
    cores: Vec<Core>,
    microcode: Option<String>,
    vulns: Option<Vec<Vulnerability>>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Core {
    /// The number of the logical processor.
    id: u32,
    /// `performance`, `efficiency`, `low_power_efficiency`; `uniform` where all are alike.
    kind: String,
    core_id: Option<u32>,
    package: Option<u32>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Vulnerability {
    name: String,
    /// The kernel's own words: `Not affected`, `Mitigation: ..`, `Vulnerable ..`.
    state: String,
}

impl Tool for CpuInspect {
    fn spec(&self) -> ToolSpec {
        let what = "Processor identity, instruction sets the system really enables, core kinds, microcode, mitigations";
        schema::read_only::<NoInput, Cpu>("cpu.inspect", what, "none", Duration::from_secs(30))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        read(cx, input).unwrap_or_else(|stopped| *stopped)
    }
}

fn read(cx: &ToolCx, input: &Value) -> Result<Output, Box<Output>> {
    let NoInput {} = input::parse(input)?;
    let mut reader = Reader::new(cx);
    let read = reader.text(&reader.proc("cpuinfo"));
    let text = reader.or_gap("isa", read).unwrap_or_default();
    let processors = cpuinfo::parse(&text);
    let first = processors.first().cloned().unwrap_or_default();
    let (isa, isa_disputed) = isa(&mut reader, &first);
    let flags = first.flags();
    let xcr0_ok = REGISTERS.iter().filter(|(_, flag)| flags.contains(flag)).map(|(name, _)| (*name).to_owned());
    let cpu = Cpu {
        vendor: known(&mut reader, "vendor", first.get("vendor_id").or_else(|| first.get("CPU implementer"))),
        model: first.number("model").or_else(|| first.number("CPU part")),
        model_name: first.get("model name").map(str::to_owned),
        family: first.number("cpu family").or_else(|| first.number("CPU architecture")),
        stepping: first.number("stepping").or_else(|| first.number("CPU revision")),
        isa,
        isa_disputed,
        xcr0_ok: xcr0_ok.collect(),
        cores: cores(&mut reader, &processors),
        microcode: microcode(&mut reader, &first),
        vulns: vulnerabilities(&mut reader),
    };
    cx.go_on()?;
    Ok(reader.finish(cpu))
}

fn known(reader: &mut Reader<'_>, field: &str, value: Option<&str>) -> Option<String> {
    let missing = || Unread::Malformed { what: "cpuinfo".to_owned(), why: format!("it does not name the {field}") };
    reader.or_gap(field, value.map(str::to_owned).ok_or_else(missing))
}

/// The kernel's list; on the live host compared with what this process detects by itself.
fn isa(reader: &mut Reader<'_>, first: &Processor<'_>) -> (Vec<String>, Vec<String>) {
    let flags = first.flags();
    if first.get("Features").is_some() {
        return (flags.into_iter().map(str::to_owned).collect(), Vec::new());
    }
    let listed: BTreeSet<&str> = ISA.into_iter().filter(|name| flags.contains(name)).collect();
    let mut disputed = Vec::new();
    if reader.is_live() && !flags.is_empty() {
        let started = Started::now(reader.cx);
        let usable = cpu::usable();
        let told = format!("{usable:?}");
        let digest = sha256(told.as_bytes());
        reader.push(started.evidence(reader.cx, "cpuid and xgetbv".to_owned(), digest, told.len() as u64, false));
        let differs = |(name, usable): &&(&str, bool)| listed.contains(name) != *usable;
        disputed = usable.iter().filter(differs).map(|(name, _)| (*name).to_owned()).collect();
    }
    let agreed = listed.into_iter().map(str::to_owned).filter(|name| !disputed.contains(name)).collect();
    (agreed, disputed)
}

fn cores(reader: &mut Reader<'_>, processors: &[Processor<'_>]) -> Vec<Core> {
    let mut bundle =
        Bundle::new(reader.cx, reader.sys("devices/{cpu_*,system/cpu/cpu*/{topology,cache}}").display().to_string());
    let mut set = |name: &str| {
        let read = bundle.trimmed(&reader.sys("devices").join(name).join("cpus"));
        read.ok().and_then(|text| cpu_list(&text)).unwrap_or_default()
    };
    let (performance, efficiency) = (set("cpu_core"), set("cpu_atom"));
    let base = reader.sys("devices/system/cpu");
    let online = bundle.trimmed(&base.join("online")).and_then(|text| {
        let why = "expected a list of processors such as 0-3,8".to_owned();
        cpu_list(&text).ok_or(Unread::Malformed { what: base.join("online").display().to_string(), why })
    });
    let online = match online {
        Ok(online) => online,
        Err(unread) if processors.is_empty() => {
            reader.gap("cores", &unread);
            BTreeSet::new()
        }
        Err(_) => processors.iter().filter_map(|processor| processor.number("processor")).collect(),
    };
    let mut cores = Vec::new();
    for id in online {
        let dir = base.join(format!("cpu{id}"));
        let mut number = |file: &str| bundle.trimmed(&dir.join(file)).ok().and_then(|text| text.parse().ok());
        let (core_id, package) = (number("topology/core_id"), number("topology/physical_package_id"));
        let kind = if performance.contains(&id) {
            "performance"
        } else if efficiency.contains(&id) {
            // the low-power cores sit outside of the compute tile and share no last-level cache
            let caches = bundle.list(&dir.join("cache")).unwrap_or_default();
            let has_l3 = caches.is_empty() || caches.iter().any(|entry| entry.name == "index3");
            if has_l3 { "efficiency" } else { "low_power_efficiency" }
        } else {
            "uniform"
        };
        cores.push(Core { id, kind: kind.to_owned(), core_id, package });
    }
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    cores
}

fn microcode(reader: &mut Reader<'_>, first: &Processor<'_>) -> Option<String> {
    if let Some(revision) = first.get("microcode") {
        return Some(revision.to_owned());
    }
    let read = reader.text(&reader.sys("devices/system/cpu/cpu0/microcode/version"));
    reader.or_gap("microcode", read).map(|text| text.trim().to_owned())
}

fn vulnerabilities(reader: &mut Reader<'_>) -> Option<Vec<Vulnerability>> {
    let dir = reader.sys("devices/system/cpu/vulnerabilities");
    let mut bundle = Bundle::new(reader.cx, dir.display().to_string());
    let listed = bundle.list(&dir);
    let mut vulnerabilities = Vec::new();
    for entry in reader.or_gap("vulns", listed)? {
        match bundle.trimmed(&entry.path) {
            Ok(state) => vulnerabilities.push(Vulnerability { name: entry.name, state }),
            Err(unread) => reader.gap(&format!("vulns.{}", entry.name), &unread),
        }
    }
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    Some(vulnerabilities)
}

/// `0-3,8` as numbers. None for anything else, and for lists no machine has.
fn cpu_list(text: &str) -> Option<BTreeSet<u32>> {
    const MOST: u32 = 1 << 16;
    let mut numbers = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high): (u32, u32) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        if high >= MOST || low > high {
            return None;
        }
        numbers.extend(low..=high);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn the_hybrid_laptop_is_mapped() {
        let output = CpuInspect.call(&FixtureCx::named("latitude"), &Value::Null);
        assert_eq!(output.status, Status::Ok, "{:?}", output.reason);
        let data = &output.data;
        assert_eq!(data["vendor"], "GenuineIntel");
        assert_eq!(data["model_name"], "Intel(R) Core(TM) Ultra 7 165H");
        assert_eq!((&data["family"], &data["model"], &data["stepping"]), (&json!(6), &json!(170), &json!(4)));
        assert_eq!(data["microcode"], "0x20");
        assert_eq!(data["xcr0_ok"], json!(["x87", "sse", "avx"]));
        let kinds: Vec<&str> =
            data["cores"].as_array().expect("cores").iter().filter_map(|c| c["kind"].as_str()).collect();
        assert_eq!(kinds, ["performance", "performance", "efficiency", "low_power_efficiency"]);
        let isa = data["isa"].as_array().expect("a list");
        assert!(isa.contains(&json!("avx2")) && !isa.contains(&json!("avx512f")));
        assert!(
            data["vulns"].as_array().expect("a list").contains(&json!({"name": "meltdown", "state": "Not affected"}))
        );
    }

    #[test]
    fn a_kernel_without_the_vulnerabilities_directory_degrades() {
        let output = CpuInspect.call(&FixtureCx::named("bare-vm"), &Value::Null);
        assert_eq!(output.status, Status::Degraded);
        assert_eq!(output.data["vulns"], Value::Null);
        assert_eq!(output.data["cores"], json!([{"id": 0, "kind": "uniform", "core_id": null, "package": null}]));
        assert_eq!(output.reason.expect("a reason").code, "no_facility");
    }

    #[test]
    fn arm_has_features_instead_of_flags() {
        let dir = tempfile::tempdir().expect("a temp dir");
        std::fs::create_dir(dir.path().join("proc")).expect("mkdir");
        let text = "processor\t: 0\nFeatures\t: fp asimd aes\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        std::fs::write(dir.path().join("proc/cpuinfo"), text).expect("write");
        let output = CpuInspect.call(&FixtureCx::at(dir.path()), &Value::Null);
        assert_eq!(output.data["isa"], json!(["fp", "asimd", "aes"]));
        assert_eq!((&output.data["vendor"], &output.data["model"]), (&json!("0x41"), &json!(0xd0c)));
    }

    #[test]
    fn this_host_has_a_processor() {
        let output = CpuInspect.call(&FixtureCx::live(), &Value::Null);
        assert!(matches!(output.status, Status::Ok | Status::Degraded), "{:?}", output.reason);
        assert!(!output.data["cores"].as_array().expect("cores").is_empty());
        assert!(output.evidence.len() >= 2);
    }

    #[test]
    fn lists_of_processors_are_ranges_and_numbers() {
        assert_eq!(cpu_list("0-2,5"), Some([0, 1, 2, 5].into()));
        assert_eq!(cpu_list(""), Some(BTreeSet::new()));
        assert_eq!(cpu_list("0-4294967295"), None, "no machine has that many");
        assert_eq!(cpu_list("x"), None);
    }

    proptest! {
        #[test]
        fn any_list_is_survived(text in "[0-9,x -]{0,20}") {
            prop_assert!(cpu_list(&text).is_none_or(|list| list.len() <= 1 << 16));
        }

        #[test]
        fn any_cpuinfo_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let dir = tempfile::tempdir().expect("a temp dir");
            std::fs::create_dir(dir.path().join("proc")).expect("mkdir");
            std::fs::write(dir.path().join("proc/cpuinfo"), &bytes).expect("write");
            let output = CpuInspect.call(&FixtureCx::at(dir.path()), &Value::Null);
            prop_assert_ne!(output.status, Status::Ok);
        }
    }
}
