//! `host.identity`: who and what this host is.
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::spec::Tool;
use crate::toolkit::spec::ToolSpec;
use crate::tools::bundle::Bundle;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Started;
use crate::tools::evidence::Unread;
use crate::tools::evidence::sha256;
use crate::tools::host::virtualisation;
use crate::tools::host::virtualisation::Virt;
use crate::tools::input;
use crate::tools::input::NoInput;
use crate::tools::schema;
use crate::tools::secret;

pub struct HostIdentity;

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Identity {
    os: Option<Os>,
    kernel: Option<Kernel>,
    arch: Option<String>,
    hostname: Option<String>,
    /// Changes with every boot.
    boot_id: Option<String>,
    /// Of /etc/machine-id under a key of this node.
    machine_id_hash: Option<String>,
    uptime_s: Option<f64>,
    virt: Option<Virt>,
    /// `none`, or what kind of container this is.
    container: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Os {
    id: String,
    name: String,
    /// Null for rolling distributions.
    version: Option<String>,
    codename: Option<String>,
    pretty: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Kernel {
    name: String,
    release: String,
    version: String,
}

impl Tool for HostIdentity {
    fn spec(&self) -> ToolSpec {
        let what = "Who and what this host is: system, kernel, boot, virtualisation";
        schema::read_only::<NoInput, Identity>("host.identity", what, "none", Duration::from_secs(10))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        read(cx, input).unwrap_or_else(|stopped| *stopped)
    }
}

fn read(cx: &ToolCx, input: &Value) -> Result<Output, Box<Output>> {
    let NoInput {} = input::parse(input)?;
    let mut reader = Reader::new(cx);
    let mut bundle = Bundle::new(cx, reader.proc("sys/kernel").display().to_string());
    let kernel_dir = reader.proc("sys/kernel");
    let mut of_kernel = |name: &str| bundle.trimmed(&kernel_dir.join(name));
    let kernel = kernel(&mut of_kernel);
    let hostname = of_kernel("hostname");
    let boot_id = of_kernel("random/boot_id");
    let arch = of_kernel("arch");
    if let Some(evidence) = bundle.into_evidence(cx) {
        reader.push(evidence);
    }
    let arch = arch.or_else(|unread| if reader.is_live() { Ok(machine(&mut reader)) } else { Err(unread) });
    let os = reader.text(&reader.etc("os-release")).or_else(|_| reader.text(&reader.root("usr/lib/os-release")));
    let machine_id = reader.text(&reader.etc("machine-id")).and_then(|text| machine_id_hash(cx, &text));
    let uptime = reader.text(&reader.proc("uptime")).and_then(|text| uptime(&text));
    let identity = Identity {
        os: reader.or_gap("os", os.and_then(|text| parse_os(&text))),
        kernel: reader.or_gap("kernel", kernel),
        arch: reader.or_gap("arch", arch),
        hostname: reader.or_gap("hostname", hostname),
        boot_id: reader.or_gap("boot_id", boot_id),
        machine_id_hash: reader.or_gap("machine_id_hash", machine_id),
        uptime_s: reader.or_gap("uptime_s", uptime),
        virt: virtualisation::machine(&mut reader),
        container: virtualisation::container(&mut reader),
    };
    Ok(reader.finish(identity))
}

fn kernel(of_kernel: &mut impl FnMut(&str) -> Result<String, Unread>) -> Result<Kernel, Unread> {
    Ok(Kernel { name: of_kernel("ostype")?, release: of_kernel("osrelease")?, version: of_kernel("version")? })
}

/// Kernels before 6.1 have no file for it.
fn machine(reader: &mut Reader<'_>) -> String {
    let started = Started::now(reader.cx);
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let digest = sha256(machine.as_bytes());
    reader.push(started.evidence(reader.cx, "uname(2)".to_owned(), digest, machine.len() as u64, false));
    machine
}

/// `KEY=value`, the value perhaps quoted as in a shell.
fn parse_os(text: &str) -> Result<Os, Unread> {
    let get = |key: &str| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
        let bare = value.trim_matches(['"', '\'']).replace('\\', "");
        (!bare.is_empty()).then_some(bare)
    };
    let why = "it names no ID".to_owned();
    let id = get("ID").ok_or(Unread::Malformed { what: "os-release".to_owned(), why })?;
    Ok(Os {
        name: get("NAME").unwrap_or_else(|| id.clone()),
        version: get("VERSION_ID"),
        codename: get("VERSION_CODENAME"),
        pretty: get("PRETTY_NAME"),
        id,
    })
}

fn machine_id_hash(cx: &ToolCx, text: &str) -> Result<String, Unread> {
    let id = text.trim();
    if id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(secret::keyed_hash(&cx.hash_key, "machine-id", id));
    }
    let why = "it is not initialised; `systemd-machine-id-setup` makes one".to_owned();
    Err(Unread::Malformed { what: "machine-id".to_owned(), why })
}

fn uptime(text: &str) -> Result<f64, Unread> {
    let seconds = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    let why = "expected seconds".to_owned();
    seconds.filter(|s: &f64| s.is_finite()).ok_or(Unread::Malformed { what: "uptime".to_owned(), why })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn the_laptop_is_a_machine_of_its_own() {
        let output = HostIdentity.call(&FixtureCx::named("latitude"), &Value::Null);
        assert_eq!(output.status, Status::Ok, "{:?}", output.reason);
        let data = &output.data;
        assert_eq!((&data["os"]["id"], &data["os"]["version"]), (&json!("debian"), &json!("12")));
        assert_eq!(data["kernel"]["release"], "6.12.9-amd64");
        assert_eq!((&data["arch"], &data["hostname"]), (&json!("x86_64"), &json!("lat5450")));
        assert_eq!(data["uptime_s"], 86_400.25);
        assert_eq!(data["virt"]["kind"], "none");
        assert_eq!(data["container"], "none");
        let hash = data["machine_id_hash"].as_str().expect("a hash");
        assert_eq!(hash.len(), 32);
        let id = std::fs::read_to_string("tests/fixtures/latitude/etc/machine-id").expect("readable");
        assert!(!output.data.to_string().contains(id.trim()), "the id itself stays here");
    }

    #[test]
    fn the_bare_vm_says_what_it_does_not_know() {
        let output = HostIdentity.call(&FixtureCx::named("bare-vm"), &Value::Null);
        assert_eq!(output.status, Status::Degraded);
        assert_eq!(output.data["machine_id_hash"], Value::Null);
        assert_eq!(output.data["not_assessed"][0]["field"], "machine_id_hash");
        assert_eq!(output.data["not_assessed"][0]["code"], "malformed");
        assert_eq!(output.data["virt"]["kind"], "kvm");
    }

    #[test]
    fn this_host_has_an_identity() {
        let output = HostIdentity.call(&FixtureCx::live(), &Value::Null);
        assert!(matches!(output.status, Status::Ok | Status::Degraded), "{:?}", output.reason);
        assert!(output.data["kernel"]["release"].is_string());
        assert!(output.data["arch"].is_string());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            prop_assert!(parse_os(&text).is_err() || text.contains("ID="));
            prop_assert!(uptime(&text).is_err() || !text.trim().is_empty());
            prop_assert!(machine_id_hash(&FixtureCx::empty(), &text).is_err() || text.trim().len() == 32);
        }
    }
}
