//! PERSISTENCE-HUNTER: start-up entries that no package owns.
use serde_json::{Value, json};

use crate::judges::finding::{Claim, Severity};
use crate::judges::{members, text};

pub fn judge(tool: &str, data: &Value) -> Vec<Claim> {
    if tool != "persist.list" {
        return Vec::new();
    }
    members(data, "items").filter_map(unowned).collect()
}

fn unowned(item: &Value) -> Option<Claim> {
    let (class, path) = (text(item, "class"), text(item, "path"));
    // `pkg` is null where no package owns the file, and absent where ownership could not be asked.
    let nobody = item.get("pkg").is_some_and(Value::is_null);
    let severity = match class {
        "ld_preload" => Severity::High,
        _ if !nobody => return None,
        "udev_rule" | "modules_load" | "profile" => Severity::Low,
        _ => Severity::Medium,
    };
    Some(Claim {
        rule: "persist.unowned",
        severity,
        confidence: 0.7,
        object: path.to_owned(),
        summary: format!("{path} starts by itself ({class}) and belongs to no package"),
        observed: json!({ "class": class, "owner": item["owner"], "changed_at": item["changed_at"] }),
        expected: json!("a file of an installed package, or one an administrator can explain"),
        controls: &["ATTACK:T1543", "NIST-800-53:CM-7"],
        remedy: Some("ask who put it there; disable it if nobody can say"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(item: Value, severity: Option<Severity>) {
        let found: Vec<_> =
            judge("persist.list", &json!({ "items": [item] })).into_iter().map(|claim| claim.severity).collect();
        assert_eq!(found, Vec::from_iter(severity));
    }

    #[test]
    fn only_what_nobody_owns_is_reported() {
        check(
            json!({"class": "systemd_unit", "path": "/etc/systemd/system/x.service", "pkg": null}),
            Some(Severity::Medium),
        );
        check(json!({"class": "systemd_unit", "path": "/lib/systemd/system/cron.service", "pkg": "cron"}), None);
        check(json!({"class": "systemd_unit", "path": "/lib/systemd/system/y.service"}), None);
    }

    #[test]
    fn a_preloaded_library_is_always_reported() {
        check(json!({"class": "ld_preload", "path": "/etc/ld.so.preload", "pkg": "x"}), Some(Severity::High));
    }
}
