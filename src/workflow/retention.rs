//! For how long runs that have ended are kept: by name, such as that of their playbook, and for all others.
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::toolkit::duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// None and no name: for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    pub others: Option<Duration>,
    pub by_name: BTreeMap<String, Duration>,
}

/// How long what is not kept for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Idempotency keys.
    pub keys: Duration,
    pub runs: Retention,
}

impl Default for Kept {
    fn default() -> Self {
        Kept { keys: DAY, runs: Retention::default() }
    }
}

/// `30d`, for runs of every name, or `nightly=30d`, for those of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    name: Option<String>,
    kept: Duration,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, time) = match text.rsplit_once('=') {
            Some((name, time)) => (Some(name.trim().to_owned()), time.trim()),
            None => (None, text.trim()),
        };
        if name.as_deref() == Some("") {
            return Err(format!("`{text}` has no name before the `=`"));
        }
        let kept = duration::parse(time).map_err(|cause| cause.to_string())?;
        let bounds = DAY..=DAY * 3650;
        if bounds.contains(&kept) { Ok(Rule { name, kept }) } else { Err("it may be 1d to 3650d".to_owned()) }
    }
}

impl Retention {
    /// Each name at most once, and at most one rule without a name.
    pub fn of(rules: Vec<Rule>) -> Result<Self, String> {
        let mut retention = Retention::default();
        for Rule { name, kept } in rules {
            let (earlier, what) = match name {
                None => (retention.others.replace(kept), "all others".to_owned()),
                Some(name) => (retention.by_name.insert(name.clone(), kept), format!("`{name}`")),
            };
            if earlier.is_some() {
                return Err(format!("there are two rules for {what}"));
            }
        }
        Ok(retention)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rules: &[&str]) -> Result<Retention, String> {
        Retention::of(rules.iter().map(|rule| rule.parse()).collect::<Result<_, _>>()?)
    }

    #[test]
    fn rules_are_for_a_name_or_for_all_others() {
        let read_back = read(&["90d", "host-baseline = 30d", "a=b=7d"]).expect("rules");
        let by_name = [("host-baseline", 30), ("a=b", 7)].map(|(name, days)| (name.to_owned(), DAY * days));
        assert_eq!(read_back, Retention { others: Some(DAY * 90), by_name: by_name.into() });
        assert_eq!(read(&[]), Ok(Retention::default()));
    }

    #[test]
    fn a_bad_rule_says_what_is_wrong() {
        for (rules, told) in [
            (&["90d", "30d"][..], "two rules for all others"),
            (&["a=30d", "a=31d"], "two rules for `a`"),
            (&["=30d"], "no name before"),
            (&["1h"], "1d to 3650d"),
            (&["a=soon"], "soon"),
        ] {
            let fault = read(rules).expect_err("bad");
            assert!(fault.contains(told), "{fault}");
        }
    }
}
