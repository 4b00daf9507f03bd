//! The text format of Prometheus, version 0.0.4. All values come from one snapshot, so nothing is registered anywhere.
use std::collections::BTreeMap;

use crate::alerts::book::Alert;
use crate::alerts::metric::{Sample, find};

pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One page of readings and alerts.
pub fn page(samples: &[Sample], alerts: &[Alert]) -> String {
    let mut families: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        families.entry(sample.metric).or_default().push(sample);
    }
    let mut lines = vec![
        "# HELP dsmil_build_info the version that runs".to_owned(),
        "# TYPE dsmil_build_info gauge".to_owned(),
        format!("dsmil_build_info{{version=\"{}\"}} 1", escaped(env!("CARGO_PKG_VERSION"))),
    ];
    for (metric, samples) in families {
        let name = format!("dsmil_{}", metric.replace('.', "_"));
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        lines.push(format!("# HELP {name} {}", find(metric).map_or("", |metric| metric.meaning)));
        lines.push(format!("# TYPE {name} {kind}"));
        for sample in samples {
            match &sample.of {
                Some(of) => lines.push(format!("{name}{{of=\"{}\"}} {}", escaped(of), sample.value)),
                None => lines.push(format!("{name} {}", sample.value)),
            }
        }
    }
    lines.push("# HELP dsmil_alert 1 while the alert is in this state".to_owned());
    lines.push("# TYPE dsmil_alert gauge".to_owned());
    for alert in alerts {
        let of = alert.labels.get("of").map(|of| format!(",of=\"{}\"", escaped(of))).unwrap_or_default();
        let (rule, severity, state) = (escaped(&alert.rule), alert.severity.as_str(), alert.state.as_str());
        lines.push(format!("dsmil_alert{{rule=\"{rule}\",severity=\"{severity}\",state=\"{state}\"{of}}} 1"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::metric as m;

    #[test]
    fn each_family_is_told_of_once_and_values_are_escaped() {
        let samples = [
            Sample::new(m::CPU, 0.25),
            Sample::of(m::AGENT_OPEN, "A\"\\\n", 1.0),
            Sample::of(m::AGENT_OPEN, "B", 0.0),
            Sample::of(m::STEPS, "A", 12.0),
        ];
        let page = page(&samples, &[]);
        assert_eq!(page.matches("# TYPE dsmil_agents_breaker_open gauge").count(), 1);
        assert!(page.contains("\ndsmil_host_cpu_ratio 0.25\n"), "{page}");
        assert!(page.contains("dsmil_agents_breaker_open{of=\"A\\\"\\\\\\n\"} 1\n"), "{page}");
        assert!(page.contains("# TYPE dsmil_agents_steps_total counter\ndsmil_agents_steps_total{of=\"A\"} 12\n"));
        assert!(page.ends_with('\n') && !page.contains("\n\n"));
    }
}
