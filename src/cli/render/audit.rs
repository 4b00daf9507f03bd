//! Audit entries, one line each.
use serde_json::Value;

use crate::api::audit::AuditEntry;
use crate::cli::render::table::{Row, Style, Tone, shortened, table};

pub fn entries(entries: &[AuditEntry], style: Style) -> String {
    let row = |entry: &AuditEntry| {
        let text = |key: &str| entry.entry.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
        let outcome = text("outcome");
        let tone = match outcome.as_str() {
            "failed" | "denied" | "timed_out" => Tone::Bad,
            "degraded" | "unavailable" => Tone::Warning,
            _ => Tone::Plain,
        };
        let at = text("at").split('.').next().map(|at| at.trim_end_matches('Z').replace('T', " ")).unwrap_or_default();
        let cells = [
            entry.index.to_string(),
            format!("{at}Z"),
            text("actor"),
            text("op"),
            text("subject"),
            outcome,
            shortened(&text("detail"), 80),
        ];
        Row::new(tone, cells)
    };
    let rows: Vec<Row> = entries.iter().map(row).collect();
    table(style, &["index", "at", "actor", "op", "subject", "outcome", "detail"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    #[test]
    fn an_entry_is_one_line() {
        let entry = serde_json::json!({
            "at": "2026-01-02T03:04:05.000001Z", "actor": "PACER", "op": "step.done", "subject": "run/1/step/a", "outcome": "ok"
        });
        let text = entries(&[AuditEntry { index: 7, leaf_hash: Digest([0; 32]), entry }], Style::default());
        let expected = "\
INDEX  AT                    ACTOR  OP         SUBJECT       OUTCOME  DETAIL
7      2026-01-02 03:04:05Z  PACER  step.done  run/1/step/a  ok       -
";
        assert_eq!(text, expected);
    }
}
