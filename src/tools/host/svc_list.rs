//! `svc.list`: services and their state, or how exposed they are.
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::spec::Tool;
use crate::toolkit::spec::ToolSpec;
use crate::tools::evidence::Reader;
use crate::tools::host::exposure;
use crate::tools::host::exposure::Exposure;
use crate::tools::host::systemd_bus;
use crate::tools::host::systemd_bus::RunState;
use crate::tools::host::unit_files;
use crate::tools::host::unit_files::UnitFile;
use crate::tools::input;
use crate::tools::schema;

pub struct SvcList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default)]
    view: View,
    /// Names or patterns with `*` and `?`; all when empty.
    #[serde(default)]
    units: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum View {
    #[default]
    State,
    Exposure,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Services {
    /// Null in the view `exposure`.
    units: Option<Vec<Unit>>,
    /// Null in the view `state`.
    exposure: Option<Vec<Exposure>>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
struct Unit {
    name: String,
    /// The unit file; null for units made at run time.
    path: Option<String>,
    /// `enabled`, `disabled`, `static`, `indirect`, `masked`, `alias`, `linked`, `generated`, with `-runtime` until reboot.
    enabled: Option<String>,
    /// `loaded`, `not-found`, `masked` ...; this and the rest are null when systemd cannot be asked.
    load: Option<String>,
    active: Option<String>,
    sub: Option<String>,
    restarts: Option<u32>,
    /// How the last run ended.
    result: Option<String>,
    main_pid: Option<u32>,
}

impl Tool for SvcList {
    fn spec(&self) -> ToolSpec {
        let what = "Services and their state, or their exposure score";
        schema::read_only::<Input, Services>("svc.list", what, "none", Duration::from_secs(30))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        read(cx, input).unwrap_or_else(|stopped| *stopped)
    }
}

fn read(cx: &ToolCx, input: &Value) -> Result<Output, Box<Output>> {
    let Input { view, units: patterns } = input::parse(input)?;
    let mut reader = Reader::new(cx);
    let wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name));
    let files = unit_files::read(&mut reader);
    let mut files = reader.or_gap("units", files).unwrap_or_default();
    files.retain(|file| wanted(&file.name));
    cx.go_on()?;
    if view == View::Exposure {
        files.retain(UnitFile::is_plain_service);
        let exposure = exposure::read(&mut reader, &files, !patterns.is_empty())?;
        return Ok(reader.finish(Services { units: None, exposure }));
    }
    let states = systemd_bus::read(&mut reader);
    let mut states = reader.or_gap("state", states);
    if let Some(states) = &mut states {
        states.retain(|name, _| wanted(name));
    }
    let units = if files.is_empty() && states.is_none() { None } else { Some(join(files, states)) };
    Ok(reader.finish(Services { units, exposure: None }))
}

fn join(files: Vec<UnitFile>, states: Option<BTreeMap<String, RunState>>) -> Vec<Unit> {
    // systemd lists only what it has loaded: a file it does not list is not running
    let idle = states.is_some().then(|| RunState {
        load: "not-loaded".to_owned(),
        active: "inactive".to_owned(),
        sub: "dead".to_owned(),
        ..RunState::default()
    });
    let mut states = states.unwrap_or_default();
    let mut units: Vec<Unit> = files
        .into_iter()
        .map(|file| {
            let state = states.remove(&file.name).or_else(|| idle.clone());
            let path = Some(file.path.display().to_string());
            with_state(Unit { name: file.name, path, enabled: Some(file.enabled.to_owned()), ..Unit::default() }, state)
        })
        .collect();
    units.extend(states.into_iter().map(|(name, state)| with_state(Unit { name, ..Unit::default() }, Some(state))));
    units.sort_by(|a, b| a.name.cmp(&b.name));
    units
}

fn with_state(unit: Unit, state: Option<RunState>) -> Unit {
    let Some(RunState { load, active, sub, restarts, result, main_pid }) = state else { return unit };
    Unit { load: Some(load), active: Some(active), sub: Some(sub), restarts, result, main_pid, ..unit }
}

/// Shell patterns with `*` and `?` over the whole name.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // where to go on when the last `*` has to take in one more character
    let (mut p, mut n, mut retry) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after, taken)) = retry else { return false };
                retry = Some((after, taken + 1));
                (p, n) = (after, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;
    use crate::tools::program;

    #[test]
    fn without_a_bus_there_are_unit_files_only() {
        let output = SvcList.call(&FixtureCx::named("latitude"), &json!({"units": ["cron.*", "getty@tty?.service"]}));
        assert_eq!(output.status, Status::Degraded);
        let units = output.data["units"].as_array().expect("units");
        assert_eq!(units.len(), 2);
        assert_eq!((&units[0]["name"], &units[0]["enabled"]), (&json!("cron.service"), &json!("enabled")));
        assert_eq!(units[0]["active"], Value::Null);
        assert_eq!(output.data["not_assessed"][0]["field"], "state");
        assert!(!output.evidence.is_empty());
    }

    #[test]
    fn a_host_without_systemd_is_unavailable() {
        let output = SvcList.call(&FixtureCx::named("bare-vm"), &Value::Null);
        assert_eq!(output.status, Status::Unavailable);
        assert_eq!(output.reason.expect("a reason").code, "no_facility");
    }

    #[test]
    fn exposure_is_scored_from_files_where_the_program_exists() {
        let input = json!({"view": "exposure", "units": ["cron.service", "bluetooth.service"]});
        let output = SvcList.call(&FixtureCx::named("latitude"), &input);
        if program::find("systemd-analyze").is_err() {
            eprintln!("systemd-analyze is not installed here: only the answer without it is tested");
            assert_eq!(output.data["exposure"], Value::Null);
            assert_eq!(output.status, Status::Degraded);
            return;
        }
        assert_eq!(output.status, Status::Ok, "{:?}", output.reason);
        let scored = output.data["exposure"].as_array().expect("a list");
        assert_eq!(scored.len(), 1, "a masked unit exposes nothing");
        assert_eq!(scored[0]["unit"], "cron.service");
        assert!(scored[0]["score"].as_f64().is_some_and(|score| score > 5.0), "nothing is set in it: {scored:?}");
        assert!(!scored[0]["items"].as_array().expect("items").is_empty());
        assert!(output.evidence.iter().any(|record| record.exit_code == Some(0)));
    }

    #[test]
    fn states_of_the_bus_are_joined_with_the_files() {
        let file = |name: &str| UnitFile { name: name.to_owned(), path: "/x".into(), enabled: "enabled" };
        let running = RunState { active: "active".to_owned(), main_pid: Some(7), ..RunState::default() };
        let states = [("a.service", running.clone()), ("made.service", running)].map(|(n, s)| (n.to_owned(), s));
        let units = join(vec![file("a.service"), file("b.service")], Some(states.into()));
        let told: Vec<_> = units.iter().map(|u| (u.name.as_str(), u.active.as_deref(), u.path.is_some())).collect();
        let active = Some("active");
        let expected =
            [("a.service", active, true), ("b.service", Some("inactive"), true), ("made.service", active, false)];
        assert_eq!(told, expected);
    }

    #[test]
    fn this_host_lists_or_says_why_not() {
        let output = SvcList.call(&FixtureCx::live(), &Value::Null);
        assert!(matches!(output.status, Status::Ok) || output.reason.is_some());
        assert!(output.status == Status::Unavailable || !output.evidence.is_empty());
    }

    proptest! {
        #[test]
        fn patterns_match_what_they_were_made_from(name in "[a-z@.]{1,12}", at in 0_usize..12, length in 0_usize..5) {
            let at = at.min(name.len());
            let end = (at + length).min(name.len());
            let starred = format!("{}*{}", &name[..at], &name[end..]);
            prop_assert!(matches(&starred, &name));
            prop_assert!(matches(&name, &name));
            let foreign = format!("{name}!");
            prop_assert!(!matches(&name, &foreign));
        }

        #[test]
        fn any_pattern_ends(pattern in "[*?a]{0,12}", name in "[ab]{0,12}") {
            prop_assert!(!matches(&pattern, &name) || name.chars().all(|c| c == 'a') || pattern.contains(['*', '?']));
        }
    }
}
