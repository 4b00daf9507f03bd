//! Rules: which reading, held for how long, is an alert, and what is done about it.
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strsim::jaro_winkler;

use crate::alerts::metric::{METRICS, find};
use crate::recovery::action::Action;
use crate::toolkit::duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AlertSeverity")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    Above(f64),
    Below(f64),
}

impl Threshold {
    pub fn value(self) -> f64 {
        match self {
            Threshold::Above(value) | Threshold::Below(value) => value,
        }
    }

    pub fn is_breached_by(self, value: f64) -> bool {
        match self {
            Threshold::Above(most) => value > most,
            Threshold::Below(least) => value < least,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub name: String,
    pub metric: &'static str,
    pub raise: Threshold,
    /// A firing alert ends when the reading is back at or beyond this: between the two it stays as it is.
    pub clear: f64,
    pub hold: Duration,
    pub severity: Severity,
    pub summary: String,
    pub labels: BTreeMap<String, String>,
    pub action: Option<Action>,
}

impl Rule {
    pub fn is_cleared_by(&self, value: f64) -> bool {
        match self.raise {
            Threshold::Above(_) => value <= self.clear,
            Threshold::Below(_) => value >= self.clear,
        }
    }
}

/// A fault of a file of rules, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    pub rule: String,
    pub detail: String,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}", self.rule, self.detail)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    rule: Vec<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: String,
    metric: String,
    above: Option<f64>,
    below: Option<f64>,
    clear: Option<f64>,
    #[serde(rename = "for")]
    hold: Option<String>,
    severity: Severity,
    summary: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    action: Option<Action>,
}

/// Reads a file of rules. All faults come back together.
pub fn parse(text: &str) -> Result<Vec<Rule>, Vec<RuleFault>> {
    let file: RawFile = toml::from_str(text)
        .map_err(|cause| vec![RuleFault { rule: "file".to_owned(), detail: cause.to_string().trim().to_owned() }])?;
    let (mut rules, mut faults) = (Vec::<Rule>::new(), Vec::new());
    for (place, table) in file.rule.into_iter().enumerate() {
        let name = table.get("name").and_then(|name| name.as_str()).map(|name| format!("`{name}`"));
        let shown = name.unwrap_or_else(|| format!("number {}", place + 1));
        match checked(table) {
            Ok(rule) if rules.iter().any(|before| before.name == rule.name) => {
                faults.push(RuleFault { rule: shown, detail: "another rule has this name".to_owned() });
            }
            Ok(rule) => rules.push(rule),
            Err(details) => faults.extend(details.into_iter().map(|detail| RuleFault { rule: shown.clone(), detail })),
        }
    }
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

fn checked(table: toml::Table) -> Result<Rule, Vec<String>> {
    let raw: RawRule = table.try_into().map_err(|cause| vec![cause.to_string().trim().replace('\n', " ")])?;
    let mut faults = Vec::new();
    if raw.name.is_empty() || !raw.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        faults.push("`name` may have a-z, 0-9 and `-`".to_owned());
    }
    let metric = find(&raw.metric);
    if metric.is_none() {
        let nearest = METRICS
            .iter()
            .max_by(|a, b| jaro_winkler(a.name, &raw.metric).total_cmp(&jaro_winkler(b.name, &raw.metric)));
        let hint = nearest.map(|metric| format!("; is `{}` meant?", metric.name)).unwrap_or_default();
        faults.push(format!("there is no metric `{}`{hint}", raw.metric));
    }
    let raise = match (raw.above, raw.below) {
        (Some(most), None) => Some(Threshold::Above(most)),
        (None, Some(least)) => Some(Threshold::Below(least)),
        _ => {
            faults.push("give either `above` or `below`".to_owned());
            None
        }
    };
    let clear = raw.clear.or(raise.map(Threshold::value)).unwrap_or_default();
    if raise.is_some_and(|raise| raise.is_breached_by(clear)) {
        faults.push(format!("`clear` is {clear}, which is a breach itself: the alert would never end"));
    }
    if raw.summary.trim().is_empty() {
        faults.push("`summary` says nothing".to_owned());
    }
    let hold = match raw.hold.as_deref().map(duration::parse) {
        None => Some(Duration::ZERO),
        Some(Ok(hold)) => Some(hold),
        Some(Err(cause)) => {
            faults.push(format!("`for`: {cause}"));
            None
        }
    };
    match (metric, raise, hold) {
        (Some(metric), Some(raise), Some(hold)) if faults.is_empty() => Ok(Rule {
            name: raw.name,
            metric: metric.name,
            raise,
            clear,
            hold,
            severity: raw.severity,
            summary: raw.summary,
            labels: raw.labels,
            action: raw.action,
        }),
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[rule]]\nname = \"a\"\nmetric = \"host.cpu_ratio\"\nabove = 0.9\nclear = 0.7\nfor = \"10s\"\n\
                        severity = \"warning\"\nsummary = \"busy\"\naction = \"reduce-agent-concurrency\"\n";

    #[test]
    fn a_rule_is_read() {
        let rules = parse(GOOD).expect("good");
        assert_eq!(rules[0].raise, Threshold::Above(0.9));
        assert_eq!((rules[0].clear, rules[0].hold), (0.7, Duration::from_secs(10)));
        assert_eq!(rules[0].action, Some(Action::ReduceAgentConcurrency));
        assert!(rules[0].is_cleared_by(0.7) && !rules[0].is_cleared_by(0.71));
    }

    #[test]
    fn each_fault_is_told_with_its_rule() {
        let check = |from: &str, to: &str, part: &str| {
            assert!(GOOD.contains(from), "{from}");
            let faults = parse(&GOOD.replace(from, to)).expect_err("faulty");
            let text: Vec<_> = faults.iter().map(ToString::to_string).collect();
            assert!(text.iter().any(|line| line.contains(part)), "no {part:?} in {text:?}");
        };
        check("cpu_ratio", "cpu_rato", "is `host.cpu_ratio` meant?");
        check("above = 0.9", "above = 0.9\nbelow = 0.1", "either `above` or `below`");
        check("above = 0.9\n", "", "either `above` or `below`");
        check("clear = 0.7", "clear = 0.95", "a breach itself");
        check("10s", "soon", "`soon` is not a duration");
        check("warning", "loud", "loud");
        check("summary = \"busy\"", "summary = \"busy\"\ncolour = 1", "colour");
        check("reduce-agent-concurrency", "reboot", "reboot");
        check("name = \"a\"", "name = \"A b\"", "a-z");
        let twice = parse(&format!("{GOOD}{GOOD}")).expect_err("twice");
        assert!(twice[0].to_string().contains("another rule"));
        let two = GOOD.replace("cpu_ratio", "x").replace("10s", "soon");
        assert_eq!(parse(&two).expect_err("two faults").len(), 2);
    }

    #[test]
    fn the_shipped_rules_are_good() {
        let rules = parse(include_str!("../../config/alerts.toml")).expect("good");
        assert!(rules.len() >= 8 && rules.iter().any(|rule| rule.action.is_some()));
    }
}
