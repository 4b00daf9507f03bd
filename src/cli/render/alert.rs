//! Alerts, and the readings that rules can be about.
use crate::alerts::book::State;
use crate::alerts::rule::Severity;
use crate::api::alert::{Alert, Reading};
use crate::cli::render::table::{Row, Style, Tone, or_dash, table};

pub fn list(alerts: &[Alert], style: Style) -> String {
    if alerts.is_empty() {
        return "nothing is wrong\n".to_owned();
    }
    let row = |alert: &Alert| {
        let tone = match (alert.state, alert.severity) {
            (State::Firing, Severity::Critical) => Tone::Bad,
            (State::Firing, _) => Tone::Warning,
            (State::Pending, _) => Tone::Plain,
            (State::Resolved, _) => Tone::Faint,
        };
        let state = if alert.flapping { "flapping" } else { alert.state.as_str() };
        let cells = [
            alert.alert_id.clone(),
            state.to_owned(),
            alert.severity.as_str().to_owned(),
            alert.rule.clone(),
            format!("{:.3} of {:.3}", alert.value, alert.threshold),
            alert.since.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            or_dash(alert.ack.as_ref().map(|ack| ack.by.clone())),
            alert.summary.clone(),
        ];
        Row::new(tone, cells)
    };
    let rows: Vec<Row> = alerts.iter().map(row).collect();
    table(style, &["alert", "state", "severity", "rule", "reading", "since", "seen by", "summary"], &rows)
}

/// One line a metric: of one that is read of many things, the highest reading is shown.
pub fn metrics(readings: &[Reading], style: Style) -> String {
    let mut rows: Vec<Row> = Vec::new();
    let mut names: Vec<&str> = readings.iter().map(|reading| reading.metric.as_str()).collect();
    names.dedup();
    for name in names {
        let of_it = || readings.iter().filter(|reading| reading.metric == name);
        let Some(highest) = of_it().max_by(|a, b| a.value.total_cmp(&b.value)) else { continue };
        let of = match of_it().count() {
            1 => or_dash(highest.of.clone()),
            count => format!("highest of {count}: {}", or_dash(highest.of.clone())),
        };
        let cells =
            [name.to_owned(), highest.unit.clone(), format!("{:.3}", highest.value), of, highest.meaning.clone()];
        rows.push(Row::new(Tone::Plain, cells));
    }
    table(style, &["metric", "unit", "now", "of", "meaning"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(metric: &str, of: Option<&str>, value: f64) -> Reading {
        let text = |text: &str| text.to_owned();
        Reading { metric: text(metric), unit: text("ratio"), meaning: text("a share"), of: of.map(text), value }
    }

    #[test]
    fn a_metric_of_many_things_is_one_line() {
        let readings = [
            reading("agents.breaker_open", Some("A"), 0.0),
            reading("agents.breaker_open", Some("B"), 1.0),
            reading("host.cpu_ratio", None, 0.5),
        ];
        let text = metrics(&readings, Style::default());
        assert!(text.contains("highest of 2: B") && text.lines().count() == 3, "{text}");
        assert_eq!(list(&[], Style::default()), "nothing is wrong\n");
    }
}
