//! PACER: may heavy work run now? Pressure stall information says how long tasks waited for a resource.
use serde_json::{Value, json};

use crate::judges::finding::{Claim, Severity};

/// Share of the last minute in per cent, per resource, above which heavy work should wait.
/// Full stalls of memory hurt first: at 10 % a host is already swapping or reclaiming all the time.
const LIMITS: [(&str, &str, f64); 3] = [("cpu", "some", 80.0), ("mem", "some", 10.0), ("io", "some", 60.0)];

pub fn judge(tool: &str, data: &Value) -> Vec<Claim> {
    if tool != "load.read" {
        return Vec::new();
    }
    let pressure = LIMITS.iter().filter_map(|(resource, line, limit)| {
        let reading = &data["psi"][resource];
        // Both shapes are in use: one line per resource, or `some` and `full` apart.
        let waited = reading[line]["avg60"].as_f64().or_else(|| reading["avg60"].as_f64())?;
        (waited > *limit).then(|| Claim {
            rule: "load.pressure",
            severity: Severity::Medium,
            confidence: 0.9,
            object: format!("pressure/{resource}"),
            summary: format!(
                "tasks waited for {resource} during {waited:.0} % of the last minute; heavy work should wait"
            ),
            observed: json!({ "avg60": waited }),
            expected: json!({ "avg60_at_most": limit }),
            controls: &[],
            remedy: Some("find the consumer with MEMORY-ANALYST or IO-ANALYST, or run the playbook later"),
        })
    });
    let kills = data["oom_kills"].as_u64().filter(|kills| *kills > 0).map(|kills| Claim {
        rule: "load.oom_kills",
        severity: Severity::Low,
        confidence: 1.0,
        object: "kernel/oom".to_owned(),
        summary: format!("the kernel has killed {kills} processes for lack of memory since the host started"),
        observed: json!({ "oom_kills": kills }),
        expected: json!({ "oom_kills": 0 }),
        controls: &[],
        remedy: Some("read the kernel log for the victims and limit what grew"),
    });
    pressure.chain(kills).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_at_rest_is_not_reported() {
        let data = json!({"psi": {"cpu": {"some": {"avg60": 12.0}}, "mem": {"some": {"avg60": 0.0}}}, "oom_kills": 0});
        assert_eq!(judge("load.read", &data), []);
    }

    #[test]
    fn memory_pressure_and_kills_are_reported() {
        let data = json!({"psi": {"mem": {"some": {"avg60": 10.5}}}, "oom_kills": 2});
        let rules: Vec<_> = judge("load.read", &data).into_iter().map(|claim| claim.rule).collect();
        assert_eq!(rules, ["load.pressure", "load.oom_kills"]);
    }
}
