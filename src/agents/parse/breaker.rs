//! The section `breaker` of a profile: when the agent is withdrawn, and for how long.
use std::time::Duration;

use serde_norway::{Mapping, Value};

use crate::agents::fault::{Problem, nearest};
use crate::agents::parse::{Reader, SECTION, describe, keys};
use crate::resilience::breaker::BreakerOptions;
use crate::toolkit::duration;

const KEY: &str = "breaker";
const KEYS: &[&str] =
    &["in_a_row", "window", "min_calls", "failed_share", "slow_share", "slow", "open_for", "probe_timeout"];

const MOST_CALLS: u64 = 1_000;
/// The clock that times a handler which answers at once is no finer.
const SHORTEST_SLOW: Duration = Duration::from_millis(20);
const LONGEST_OPEN: Duration = Duration::from_secs(3_600);

impl Reader<'_> {
    /// Each key may be left out. A call is slow, unless the profile says otherwise, when it takes all of the agent's
    /// `timeout`: a tool that takes its time is not sick.
    pub(super) fn breaker(&mut self, ours: &Mapping, timeout: Option<Duration>) -> Option<BreakerOptions> {
        let usual = BreakerOptions::default();
        let slow = timeout.unwrap_or(usual.slow);
        let usual = BreakerOptions { slow, probe_timeout: usual.probe_timeout.max(slow), ..usual };
        let rules = match ours.get(KEY) {
            None => return Some(usual),
            Some(Value::Mapping(rules)) => rules,
            Some(other) => {
                self.wrong_type(KEY, self.parts.line_within(SECTION, KEY), "keys with values", other);
                return None;
            }
        };
        for key in keys(rules).filter(|key| !KEYS.contains(&key.as_str())) {
            let hint = nearest(&key, KEYS.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let line = self.parts.line_within(SECTION, &key);
            self.fault(line, Problem::UnknownKey { key: format!("{KEY}.{key}"), hint, allowed: KEYS });
        }
        let in_a_row = self.calls(rules, "in_a_row", u64::from(usual.in_a_row));
        let window = self.calls(rules, "window", usual.window as u64);
        let min_calls = self.calls(rules, "min_calls", usual.min_calls as u64);
        let failed_share = self.share(rules, "failed_share", usual.failed_share);
        let slow_share = self.share(rules, "slow_share", usual.slow_share);
        let slow = self.time(rules, "slow", usual.slow, None);
        let open_for = self.time(rules, "open_for", usual.open_for, Some(LONGEST_OPEN));
        let enough = usual.probe_timeout.max(slow.unwrap_or_default());
        let probe_timeout = self.time(rules, "probe_timeout", enough, None);
        if !self.fit_together(window.zip(min_calls), slow.zip(probe_timeout)) {
            return None;
        }
        Some(BreakerOptions {
            in_a_row: u32::try_from(in_a_row?).ok()?,
            window: usize::try_from(window?).ok()?,
            min_calls: usize::try_from(min_calls?).ok()?,
            failed_share: failed_share?,
            slow_share: slow_share?,
            slow: slow?,
            open_for: open_for?,
            probe_timeout: probe_timeout?,
        })
    }

    /// Of those that could be read: window and fewest calls, slow and time of a probe.
    fn fit_together(&mut self, calls: Option<(u64, u64)>, times: Option<(Duration, Duration)>) -> bool {
        let mut fit = true;
        if let Some((window, min_calls)) = calls.filter(|(window, min_calls)| min_calls > window) {
            // with fewer calls than that its shares would never say anything
            self.bad_rule("min_calls", min_calls, format!("at most `window`, which is {window}"));
            fit = false;
        }
        if let Some((slow, _)) = times.filter(|(slow, _)| *slow < SHORTEST_SLOW) {
            let allowed = format!("at least {}; shorter times are not told apart", duration::show(SHORTEST_SLOW));
            self.bad_rule("slow", duration::show(slow), allowed);
            fit = false;
        }
        if let Some((slow, probe_timeout)) = times.filter(|(slow, probe_timeout)| probe_timeout < slow) {
            // or a good probe would be given up before it is even slow
            let allowed = format!("at least `slow`, which is {}", duration::show(slow));
            self.bad_rule("probe_timeout", duration::show(probe_timeout), allowed);
            fit = false;
        }
        fit
    }

    fn calls(&mut self, rules: &Mapping, key: &str, usual: u64) -> Option<u64> {
        let Some(value) = rules.get(key) else { return Some(usual) };
        let number = value.as_u64().filter(|number| (1..=MOST_CALLS).contains(number));
        if number.is_none() {
            self.bad_rule(key, describe(value), format!("a whole number from 1 to {MOST_CALLS}"));
        }
        number
    }

    fn share(&mut self, rules: &Mapping, key: &str, usual: f64) -> Option<f64> {
        let Some(value) = rules.get(key) else { return Some(usual) };
        let share = value.as_f64().filter(|share| *share > 0.0 && *share <= 1.0);
        if share.is_none() {
            self.bad_rule(key, describe(value), "a number above 0 and at most 1".to_owned());
        }
        share
    }

    fn time(&mut self, rules: &Mapping, key: &str, usual: Duration, most: Option<Duration>) -> Option<Duration> {
        let Some(value) = rules.get(key) else { return Some(usual) };
        let time = value.as_str().and_then(|text| duration::parse(text).ok());
        let time = time.filter(|time| !time.is_zero() && most.is_none_or(|most| *time <= most));
        if time.is_none() {
            let most = most.map(|most| format!(" and at most {}", duration::show(most))).unwrap_or_default();
            self.bad_rule(key, describe(value), format!("a duration above zero{most}, such as 500ms, 20s or 10m"));
        }
        time
    }

    fn bad_rule(&mut self, key: &str, value: impl ToString, allowed: String) {
        let line = self.parts.line_within(SECTION, key);
        let line = if line == self.parts.line_of(SECTION) { self.parts.line_within(SECTION, KEY) } else { line };
        self.fault(line, Problem::BadValue { key: format!("{KEY}.{key}"), value: value.to_string(), allowed });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::agents::parse::parse;
    use crate::ids::ToolId;

    const SECOND: Duration = Duration::from_secs(1);

    /// The rules of an agent with a timeout of ten seconds, or the faults of line 6, where they stand.
    fn rules(breaker: &str) -> Result<BreakerOptions, Vec<String>> {
        let text = format!(
            "---\nname: pacer\ndescription: Use.\ndsmil:\n  {{ group: core, domain: load, policy: ro, criticality: normal, \
             timeout: 10s, tools: [load.read],\n    {breaker} }}\n---\nRead.\n"
        );
        let tools = BTreeSet::from([ToolId::new("load.read").expect("a tool id")]);
        let read = parse("pacer.md", &text, &tools).profile.map(|profile| profile.breaker);
        read.map_err(|faults| {
            assert!(faults.iter().all(|fault| fault.line == 6), "{faults:?}");
            faults.iter().map(|fault| fault.problem.to_string()).collect()
        })
    }

    #[test]
    fn each_key_may_be_left_out_and_slow_is_then_the_timeout() {
        let usual = BreakerOptions { slow: 10 * SECOND, ..BreakerOptions::default() };
        assert_eq!(rules(""), Ok(usual.clone()));
        assert_eq!(rules("breaker: {}"), Ok(usual.clone()));
        assert_eq!(
            rules("breaker: { in_a_row: 2, slow: 1s }"),
            Ok(BreakerOptions { in_a_row: 2, slow: SECOND, ..usual })
        );
        let all = "breaker: { in_a_row: 1, window: 1000, min_calls: 1000, failed_share: 1, slow_share: 0.25, slow: 1m, \
                   open_for: 1h, probe_timeout: 2m }";
        let expected = BreakerOptions {
            in_a_row: 1,
            window: 1000,
            min_calls: 1000,
            failed_share: 1.0,
            slow_share: 0.25,
            slow: 60 * SECOND,
            open_for: 3600 * SECOND,
            probe_timeout: 120 * SECOND,
        };
        assert_eq!(rules(all), Ok(expected));
    }

    #[test]
    fn bad_values_come_with_those_allowed() {
        for (breaker, faults) in [
            ("breaker: 5", vec!["`breaker` must be keys with values, not 5"]),
            ("breaker: { in_row: 5 }", vec!["unknown key `breaker.in_row`; did you mean `in_a_row`?"]),
            ("breaker: { in_a_row: 0 }", vec!["`breaker.in_a_row` is `0`; allowed: a whole number from 1 to 1000"]),
            ("breaker: { window: 1001 }", vec!["`breaker.window` is `1001`; allowed: a whole number from 1 to 1000"]),
            ("breaker: { window: 19 }", vec!["`breaker.min_calls` is `20`; allowed: at most `window`, which is 19"]),
            ("breaker: { min_calls: 101 }", vec!["`breaker.min_calls` is `101`; allowed: at most `window`"]),
            ("breaker: { failed_share: 0 }", vec!["`breaker.failed_share` is `0`; allowed: a number above 0"]),
            ("breaker: { failed_share: .nan }", vec!["`breaker.failed_share` is `.nan`; allowed: a number above 0"]),
            ("breaker: { slow_share: 1.01 }", vec!["`breaker.slow_share` is `1.01`; allowed: a number above 0"]),
            ("breaker: { slow: 0s }", vec!["`breaker.slow` is `0s`; allowed: a duration above zero, such as"]),
            (
                "breaker: { open_for: 61m }",
                vec!["`breaker.open_for` is `61m`; allowed: a duration above zero and at most 1h"],
            ),
            ("breaker: { slow: 1ms }", vec!["`breaker.slow` is `1ms`; allowed: at least 20ms"]),
            (
                "breaker: { probe_timeout: 9s }",
                vec!["`breaker.probe_timeout` is `9s`; allowed: at least `slow`, which is 10s"],
            ),
            ("breaker: { probe_timeout: 10 }", vec!["`breaker.probe_timeout` is `10`; allowed: a duration above zero"]),
            (
                "breaker: { colour: red, in_a_row: none, slow_share: -1, window: 5, slow: soon }",
                vec![
                    "unknown key `breaker.colour`; allowed here: in_a_row, window,",
                    "`breaker.in_a_row` is `none`",
                    "`breaker.slow_share` is `-1`",
                    "`breaker.slow` is `soon`",
                    "`breaker.min_calls` is `20`",
                ],
            ),
        ] {
            let found = rules(breaker).expect_err(breaker);
            let same =
                found.len() == faults.len() && found.iter().zip(&faults).all(|(found, start)| found.starts_with(start));
            assert!(same, "{breaker} gave {found:#?}");
        }
    }
}
