//! INFRASTRUCTURE: a full file system, and an interface that listens to everything.
use serde_json::{Value, json};

use crate::judges::finding::{Claim, Severity};
use crate::judges::{members, text};

/// Per cent of space or inodes in use.
const NEARLY_FULL: f64 = 90.0;
const FULL: f64 = 97.0;

pub fn judge(tool: &str, data: &Value) -> Vec<Claim> {
    match tool {
        "storage.map" => members(data, "mounts").flat_map(filling).collect(),
        "net.links" => members(data, "promisc").filter_map(Value::as_str).map(promiscuous).collect(),
        _ => Vec::new(),
    }
}

fn filling(mount: &Value) -> Vec<Claim> {
    let read_only = members(mount, "opts").any(|option| option == "ro");
    // Images such as squashfs and iso9660 are full by design.
    if read_only {
        return Vec::new();
    }
    [("used", "space"), ("inodes", "inodes")]
        .into_iter()
        .filter_map(|(key, what)| {
            let used = mount[key]["used_pct"].as_f64().filter(|used| *used >= NEARLY_FULL)?;
            let path = text(mount, "path");
            Some(Claim {
                rule: "storage.filling",
                severity: if used >= FULL { Severity::High } else { Severity::Medium },
                confidence: 1.0,
                object: format!("{what}:{path}"),
                summary: format!("{used:.0} % of the {what} of {path} is in use"),
                observed: json!({ "used_pct": used }),
                expected: json!({ "used_pct_below": NEARLY_FULL }),
                controls: &[],
                remedy: Some("ask STORAGE-WARDEN what grew, and JANITOR what may go"),
            })
        })
        .collect()
}

fn promiscuous(link: &str) -> Claim {
    Claim {
        rule: "net.promiscuous",
        severity: Severity::Medium,
        confidence: 0.8,
        object: format!("link/{link}"),
        summary: format!("{link} is in promiscuous mode: it receives frames meant for others"),
        observed: json!({ "promisc": true }),
        expected: json!({ "promisc": false }),
        controls: &["NIST-800-53:SI-4"],
        remedy: Some("find the capture program or the bridge that set it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mount: Value, severity: &[Severity]) {
        let found: Vec<_> =
            judge("storage.map", &json!({ "mounts": [mount] })).into_iter().map(|claim| claim.severity).collect();
        assert_eq!(found, severity);
    }

    #[test]
    fn space_and_inodes_are_judged_apart() {
        check(json!({"path": "/", "opts": ["rw"], "used": {"used_pct": 89.9}, "inodes": {"used_pct": 10.0}}), &[]);
        check(
            json!({"path": "/", "opts": ["rw"], "used": {"used_pct": 91.0}, "inodes": {"used_pct": 98.0}}),
            &[Severity::Medium, Severity::High],
        );
    }

    #[test]
    fn a_read_only_image_may_be_full() {
        check(json!({"path": "/snap/x", "opts": ["ro"], "used": {"used_pct": 100.0}}), &[]);
    }

    #[test]
    fn a_listening_interface_is_reported() {
        assert_eq!(judge("net.links", &json!({"promisc": ["eth0"]})).len(), 1);
    }
}
