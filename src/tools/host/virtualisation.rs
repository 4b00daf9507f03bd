//! Tells a machine from a virtual one, and a container from a whole system.
use schemars::JsonSchema;
use serde::Serialize;

use crate::tools::bundle::Bundle;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Started;
use crate::tools::evidence::Unread;
use crate::tools::evidence::sha256;
use crate::tools::host::cpuid;
use crate::tools::host::cpuinfo;

/// Words in the DMI fields and the hypervisor they stand for.
const DMI_MARKS: [(&str, &str); 11] = [
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("Amazon EC2", "amazon"),
    ("Google Compute Engine", "google"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VirtualBox", "oracle"),
    ("innotek GmbH", "oracle"),
    ("Xen", "xen"),
    ("Parallels", "parallels"),
    ("Virtual Machine", "microsoft"),
];

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Virt {
    /// `none`, the hypervisor, or `unknown` for one that does not say its name.
    pub kind: String,
    /// What it was told by.
    pub evidence: Vec<String>,
}

/// Notes a gap and gives none when nothing that could tell was readable.
pub fn machine(reader: &mut Reader<'_>) -> Option<Virt> {
    let mut marks = Vec::new();
    let mut kind: Option<String> = None;
    let dmi = reader.sys("class/dmi/id");
    let mut bundle = Bundle::new(reader.cx, dmi.display().to_string());
    for field in ["sys_vendor", "product_name", "board_vendor", "bios_vendor"] {
        let Ok(text) = bundle.trimmed(&dmi.join(field)) else { continue };
        if let Some((mark, hypervisor)) = DMI_MARKS.iter().find(|(mark, _)| text.contains(mark)) {
            marks.push(format!("{field} contains `{mark}`"));
            kind = sharper(kind, hypervisor);
        }
    }
    if let Ok(hypervisor) = bundle.trimmed(&reader.sys("hypervisor/type")) {
        marks.push("sys/hypervisor/type is present".to_owned());
        kind = sharper(kind, &hypervisor);
    }
    let read_dmi = bundle.files() > 0;
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    let cpuinfo = reader.text(&reader.proc("cpuinfo"));
    if let Ok(text) = &cpuinfo
        && cpuinfo::parse(text).first().is_some_and(|first| first.flags().contains(&"hypervisor"))
    {
        marks.push("cpuinfo has the flag `hypervisor`".to_owned());
        if let Some(told) = ask_processor(reader) {
            marks.push(format!("the hypervisor leaf of cpuid says `{told}`"));
            kind = sharper(kind, &told);
        }
        kind = sharper(kind, "unknown");
    }
    match (kind, cpuinfo) {
        (None, Err(unread)) if !read_dmi => {
            reader.gap("virt", &unread);
            None
        }
        (None, _) => {
            let evidence = vec!["neither cpuinfo nor DMI shows a hypervisor".to_owned()];
            Some(Virt { kind: "none".to_owned(), evidence })
        }
        (Some(kind), _) => Some(Virt { kind, evidence: marks }),
    }
}

/// The first name counts, but `qemu` is only the machine model: what runs it is the better answer.
fn sharper(kind: Option<String>, told: &str) -> Option<String> {
    match kind {
        Some(kind) if kind != "qemu" || told == "unknown" => Some(kind),
        _ => Some(told.to_owned()),
    }
}

fn ask_processor(reader: &mut Reader<'_>) -> Option<String> {
    if !reader.is_live() {
        return None;
    }
    let started = Started::now(reader.cx);
    let told = cpuid::hypervisor()?;
    let told = if told.starts_with("unknown") { "unknown".to_owned() } else { told };
    let digest = sha256(told.as_bytes());
    reader.push(started.evidence(reader.cx, "cpuid 0x40000000".to_owned(), digest, told.len() as u64, false));
    Some(told)
}

/// `none`, or the kind of container. Notes a gap when nothing that could tell was readable.
pub fn container(reader: &mut Reader<'_>) -> Option<String> {
    // files that container managers leave for exactly this question
    if let Ok(text) = reader.text(&reader.root("run/systemd/container")) {
        return Some(text.trim().to_owned());
    }
    for (file, kind) in [("run/.containerenv", "podman"), (".dockerenv", "docker")] {
        if reader.bytes(&reader.root(file), 4096).is_ok() {
            return Some(kind.to_owned());
        }
    }
    let read = reader.text(&reader.proc("1/cgroup")).and_then(|text| container_of_cgroup(&text));
    reader.or_gap("container", read)
}

/// The cgroup paths of process 1: a manager that gives no namespace of its own shows in them.
fn container_of_cgroup(text: &str) -> Result<String, Unread> {
    if !text.lines().any(|line| line.splitn(3, ':').count() == 3) {
        let why = "expected lines of hierarchy, controllers and path".to_owned();
        return Err(Unread::Malformed { what: "1/cgroup".to_owned(), why });
    }
    let marks = [("docker", "docker"), ("libpod", "podman"), ("kubepods", "kubernetes"), ("lxc", "lxc")];
    let found = marks.iter().find(|(mark, _)| text.contains(mark));
    Ok(found.map_or("none", |(_, kind)| kind).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temp dir");
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            std::fs::write(path, text).expect("write");
        }
        dir
    }

    fn kind_of(files: &[(&str, &str)]) -> Option<String> {
        let dir = tree(files);
        let cx = FixtureCx::at(dir.path());
        machine(&mut Reader::new(&cx)).map(|virt| virt.kind)
    }

    #[test]
    fn hypervisors_are_told_by_dmi_then_by_their_flag() {
        let flagged = ("proc/cpuinfo", "processor : 0\nflags : fpu hypervisor\n");
        let vmware = ("sys/class/dmi/id/sys_vendor", "VMware, Inc.\n");
        assert_eq!(kind_of(&[flagged, vmware]).as_deref(), Some("vmware"));
        let qemu = ("sys/class/dmi/id/sys_vendor", "QEMU\n");
        assert_eq!(kind_of(&[flagged, qemu]).as_deref(), Some("qemu"));
        let kvm = ("sys/class/dmi/id/product_name", "KVM Virtual Machine\n");
        assert_eq!(kind_of(&[flagged, qemu, kvm]).as_deref(), Some("kvm"));
        assert_eq!(kind_of(&[flagged]).as_deref(), Some("unknown"));
        assert_eq!(kind_of(&[("sys/hypervisor/type", "xen\n")]).as_deref(), Some("xen"));
        assert_eq!(kind_of(&[("proc/cpuinfo", "processor : 0\nflags : fpu\n")]).as_deref(), Some("none"));
        assert_eq!(kind_of(&[]), None, "nothing was readable");
    }

    #[test]
    fn containers_are_told_by_their_managers_files_then_by_cgroups() {
        let told = |files: &[(&str, &str)]| {
            let dir = tree(files);
            let cx = FixtureCx::at(dir.path());
            container(&mut Reader::new(&cx))
        };
        assert_eq!(told(&[("run/systemd/container", "lxc\n")]).as_deref(), Some("lxc"));
        assert_eq!(told(&[(".dockerenv", "")]).as_deref(), Some("docker"));
        assert_eq!(told(&[("proc/1/cgroup", "0::/kubepods/x\n")]).as_deref(), Some("kubernetes"));
        assert_eq!(told(&[("proc/1/cgroup", "0::/\n")]).as_deref(), Some("none"));
        assert_eq!(told(&[("proc/1/cgroup", "rubbish")]), None);
    }
}
