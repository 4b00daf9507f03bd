//! HARDWARE-INTEL: processor weaknesses that the running kernel does not mitigate.
//!
//! States are those of `/sys/devices/system/cpu/vulnerabilities` (kernel admin guide, hw-vuln).
use serde_json::{Value, json};

use crate::judges::finding::{Claim, Severity};
use crate::judges::{members, text};

pub fn judge(tool: &str, data: &Value) -> Vec<Claim> {
    if tool != "cpu.inspect" {
        return Vec::new();
    }
    members(data, "vulns").filter_map(exposed).collect()
}

fn exposed(weakness: &Value) -> Option<Claim> {
    let (name, state) = (text(weakness, "name"), text(weakness, "state"));
    let open = state.starts_with("Vulnerable");
    // A mitigation that the kernel itself calls incomplete, e.g. "Mitigation: Clear buffers; SMT vulnerable".
    let partial = !open && state.to_ascii_lowercase().contains("vulnerable");
    (open || partial).then(|| Claim {
        rule: "cpu.vulnerable",
        severity: if open { Severity::Medium } else { Severity::Low },
        confidence: 0.9,
        object: format!("cpu/{name}"),
        summary: if open {
            format!("the processor is open to {name}: the kernel applies no mitigation")
        } else {
            format!("the mitigation of {name} is incomplete")
        },
        observed: json!(state),
        expected: json!("Not affected, or Mitigation without a vulnerable part"),
        controls: &["NIST-800-53:SI-2"],
        remedy: Some(
            "install the vendor's microcode and a current kernel; on a virtual machine ask for the flags of the host",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: &str, severity: Option<Severity>) {
        let data = json!({"vulns": [{"name": "mds", "state": state}]});
        let found: Vec<_> = judge("cpu.inspect", &data).into_iter().map(|claim| claim.severity).collect();
        assert_eq!(found, Vec::from_iter(severity), "{state}");
    }

    #[test]
    fn only_what_is_open_is_reported() {
        check("Not affected", None);
        check("Mitigation: PTI", None);
        check("Vulnerable", Some(Severity::Medium));
        check("Vulnerable: Clear CPU buffers attempted, no microcode", Some(Severity::Medium));
        check("Mitigation: Clear CPU buffers; SMT vulnerable", Some(Severity::Low));
    }
}
