//! PACKAGE-VERIFIER: packages that are neither installed nor absent.
use serde_json::{Value, json};

use crate::judges::finding::{Claim, Severity};
use crate::judges::{members, text};

pub fn judge(tool: &str, data: &Value) -> Vec<Claim> {
    if tool != "pkg.inventory" {
        return Vec::new();
    }
    members(data, "pkgs").filter_map(half_done).collect()
}

fn half_done(package: &Value) -> Option<Claim> {
    let (name, state) = (text(package, "name"), text(package, "state"));
    // dpkg(1): every state but these two means that an installation or removal was interrupted.
    (!matches!(state, "" | "installed" | "config-files")).then(|| Claim {
        rule: "pkg.half_done",
        severity: Severity::Medium,
        confidence: 1.0,
        object: format!("package/{name}"),
        summary: format!("{name} is {state}: an installation or removal was interrupted"),
        observed: json!(state),
        expected: json!("installed"),
        controls: &["NIST-800-53:CM-6"],
        remedy: Some("dpkg --configure -a, then apt-get --fix-broken install"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupted_packages_are_reported() {
        let data = json!({"pkgs": [
            {"name": "a", "state": "installed"}, {"name": "b", "state": "half-configured"}, {"name": "c"},
        ]});
        let found: Vec<_> = judge("pkg.inventory", &data).into_iter().map(|claim| claim.object).collect();
        assert_eq!(found, ["package/b"]);
    }
}
