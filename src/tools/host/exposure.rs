//! How exposed services are, by `systemd-analyze security`, which works on unit files alone.
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::toolkit::output::Output;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Unread;
use crate::tools::host::unit_files::UnitFile;
use crate::tools::program;
use crate::tools::program::Program;

/// Units per call: one that cannot be parsed spoils no more than its batch.
const BATCH: usize = 40;
const CAP: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Exposure {
    pub unit: String,
    /// 0 (sealed) to 10.
    pub score: f64,
    /// The settings that would lower the score, the heaviest first; only when single units were asked for.
    pub items: Option<Vec<Item>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Item {
    pub setting: String,
    pub what: String,
    /// Its share in the score.
    pub weight: f64,
}

/// Scores the units. None, with a gap noted, when there is no program for it.
pub fn read(
    reader: &mut Reader<'_>,
    units: &[UnitFile],
    with_items: bool,
) -> Result<Option<Vec<Exposure>>, Box<Output>> {
    if let Err(unread) = program::find("systemd-analyze") {
        reader.gap("exposure", &unread);
        return Ok(None);
    }
    let mut scored = Vec::new();
    for batch in units.chunks(BATCH) {
        reader.cx.go_on()?;
        let paths: Vec<&Path> = batch.iter().map(|unit| unit.path.as_path()).collect();
        let text = analyse(reader, &paths, false);
        scored.extend(reader.or_gap("exposure", text).map(|text| scores(&text)).unwrap_or_default());
    }
    if with_items {
        for exposure in &mut scored {
            reader.cx.go_on()?;
            let Some(unit) = units.iter().find(|unit| unit.name == exposure.unit) else { continue };
            let items = analyse(reader, &[&unit.path], true).and_then(|text| items(&text));
            exposure.items = reader.or_gap("exposure.items", items);
        }
    }
    scored.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.unit.cmp(&b.unit)));
    Ok(Some(scored))
}

fn analyse(reader: &mut Reader<'_>, paths: &[&Path], json: bool) -> Result<String, Unread> {
    let mut args = vec!["security", "--offline=true", "--no-pager"];
    if json {
        args.push("--json=short");
    }
    args.push("--");
    args.extend(paths.iter().filter_map(|path| path.to_str()));
    let ran = reader.run(&Program { name: "systemd-analyze", args: &args, cap: CAP, timeout: PATIENCE })?;
    let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
    if ran.exit_code == Some(0) || !stdout.is_empty() {
        return Ok(stdout);
    }
    let why = format!("exit code {:?}: {}", ran.exit_code, ran.stderr.lines().last().unwrap_or_default());
    Err(Unread::Io { what: "systemd-analyze security".to_owned(), why })
}

/// The closing line of each table: `-> Overall exposure level for NAME: 9.6 UNSAFE`.
fn scores(text: &str) -> Vec<Exposure> {
    const MARK: &str = "Overall exposure level for ";
    let score = |line: &str| {
        let (unit, rest) = line[line.find(MARK)? + MARK.len()..].split_once(": ")?;
        let score: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
        (0.0..=10.0).contains(&score).then(|| Exposure { unit: unit.to_owned(), score, items: None })
    };
    text.lines().filter_map(score).collect()
}

fn items(text: &str) -> Result<Vec<Item>, Unread> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        description: String,
        exposure: Option<String>,
    }
    let malformed = |error: serde_json::Error| Unread::Malformed {
        what: "systemd-analyze security --json=short".to_owned(),
        why: error.to_string(),
    };
    let rows: Vec<Row> = serde_json::from_str(text).map_err(malformed)?;
    let weighty = |row: Row| {
        let weight: f64 = row.exposure?.parse().ok()?;
        (weight > 0.0).then_some(Item { setting: row.name, what: row.description, weight })
    };
    let mut items: Vec<Item> = rows.into_iter().filter_map(weighty).collect();
    items.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.setting.cmp(&b.setting)));
    Ok(items)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scores_stand_in_the_closing_lines() {
        let text = "x UMask=   files 0.1\n\n\u{2192} Overall exposure level for a.service: 9.6 UNSAFE\n\u{2192} Overall exposure level for b@x.service: 1.5 OK\n";
        let told: Vec<(String, f64)> = scores(text).into_iter().map(|e| (e.unit, e.score)).collect();
        assert_eq!(told, [("a.service".to_owned(), 9.6), ("b@x.service".to_owned(), 1.5)]);
    }

    #[test]
    fn only_what_would_help_is_an_item() {
        let text = r#"[{"set":true,"name":"A=","json_field":"A","description":"fine","exposure":null},
            {"set":false,"name":"B=","json_field":"B","description":"may","exposure":"0.1"},
            {"set":false,"name":"C=","json_field":"C","description":"root","exposure":"0.4"}]"#;
        let settings: Vec<String> = items(text).expect("JSON").into_iter().map(|item| item.setting).collect();
        assert_eq!(settings, ["C=", "B="]);
        assert_eq!(items("[").expect_err("broken").reason().code, "malformed");
    }

    proptest! {
        #[test]
        fn any_output_is_survived(text in any::<String>()) {
            prop_assert!(scores(&text).iter().all(|exposure| exposure.score <= 10.0));
            let listed = items(&text).is_ok();
            prop_assert!(!listed || text.trim_start().starts_with('['), "{} is no list", text);
        }
    }
}
