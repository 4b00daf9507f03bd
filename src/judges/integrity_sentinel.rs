//! INTEGRITY-SENTINEL: files that are not what the last manifest says.
use serde_json::{Value, json};

use crate::judges::finding::{Claim, Severity};
use crate::judges::{members, text};

/// More changes than this are one finding: a package upgrade is one event, not a thousand.
const ONE_BY_ONE: usize = 20;

pub fn judge(tool: &str, data: &Value) -> Vec<Claim> {
    if tool != "fs.manifest" {
        return Vec::new();
    }
    let added = members(data, "added").filter_map(Value::as_str).map(|path| ("added", path));
    let removed = members(data, "removed").filter_map(Value::as_str).map(|path| ("removed", path));
    let changed = members(data, "changed").map(|change| ("changed", text(change, "path")));
    let all: Vec<_> = changed.chain(removed).chain(added).collect();
    if all.len() > ONE_BY_ONE {
        return vec![many(&all)];
    }
    all.into_iter().map(|(how, path)| one(how, path)).collect()
}

fn one(how: &str, path: &str) -> Claim {
    Claim {
        rule: "fs.drift",
        severity: severity(how, path),
        confidence: 1.0,
        object: path.to_owned(),
        summary: format!("{path} was {how} since the last manifest"),
        observed: json!(how),
        expected: json!("as in the last manifest"),
        controls: &["NIST-800-53:SI-7"],
        remedy: Some("explain it by a package or an approved run, or treat it as an intrusion"),
    }
}

fn many(all: &[(&str, &str)]) -> Claim {
    let count = |wanted| all.iter().filter(|(how, _)| *how == wanted).count();
    let (changed, removed, added) = (count("changed"), count("removed"), count("added"));
    Claim {
        rule: "fs.drift_many",
        severity: Severity::Medium,
        confidence: 1.0,
        object: "manifest".to_owned(),
        summary: format!("{changed} files changed, {removed} removed and {added} added since the last manifest"),
        observed: json!({ "changed": changed, "removed": removed, "added": added }),
        expected: json!("as in the last manifest"),
        controls: &["NIST-800-53:SI-7"],
        remedy: Some("compare with the package log; the lists are in the step's output"),
    }
}

/// Who may log in and what is run by root weighs more than the rest.
fn severity(how: &str, path: &str) -> Severity {
    const GATES: [&str; 6] =
        ["/etc/passwd", "/etc/shadow", "/etc/sudoers", "/etc/ssh/", "/etc/pam.d/", "/etc/ld.so.preload"];
    const PROGRAMS: [&str; 4] = ["/usr/sbin/", "/usr/bin/", "/sbin/", "/boot/"];
    let under = |list: &[&str]| list.iter().any(|prefix| path.starts_with(prefix));
    match how {
        _ if under(&GATES) => Severity::High,
        "changed" if under(&PROGRAMS) => Severity::High,
        "added" => Severity::Low,
        _ => Severity::Medium,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_tree_and_a_first_manifest_are_silent() {
        assert_eq!(judge("fs.manifest", &json!({"baseline": "absent", "added": [], "removed": [], "changed": []})), []);
    }

    #[test]
    fn gates_and_programs_weigh_more() {
        let data = json!({
            "changed": [{"path": "/usr/sbin/sshd", "attrs": ["sha256"]}, {"path": "/etc/motd", "attrs": ["sha256"]}],
            "added": ["/etc/sudoers.d/x", "/etc/cron.d/y"], "removed": [],
        });
        let found: Vec<_> =
            judge("fs.manifest", &data).into_iter().map(|claim| (claim.object, claim.severity)).collect();
        let expected = [
            ("/usr/sbin/sshd", Severity::High),
            ("/etc/motd", Severity::Medium),
            ("/etc/sudoers.d/x", Severity::High),
            ("/etc/cron.d/y", Severity::Low),
        ];
        assert_eq!(found, expected.map(|(path, severity)| (path.to_owned(), severity)));
    }

    #[test]
    fn an_upgrade_is_one_finding() {
        let added: Vec<_> = (0..500).map(|n| format!("/usr/sbin/p{n}")).collect();
        assert_eq!(judge("fs.manifest", &json!({ "added": added })).len(), 1);
    }
}
