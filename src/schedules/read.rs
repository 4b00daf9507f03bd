//! From a document to a schedule: everything that is wrong with it, its workflow included, is found at once.
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use crate::ids::ScheduleName;
use crate::schedules::record::NewSchedule;
use crate::schedules::rules::{CatchUp, Overlap, Rules, Timing, zone};
use crate::workflow::check::check;
use crate::workflow::document::{Keys, Reader};
use crate::workflow::fault::{Fault, did_you_mean};
use crate::workflow::world::World;

pub const SCHEDULE: Keys = Keys {
    of: "a schedule",
    known: &["name", "workflow", "cron", "every", "time_zone", "catch_up", "overlap", "paused"],
    later: &[],
};

/// Checks a document; `now` is for a pattern that has no time to come.
pub fn read(document: &Value, world: &World, now: DateTime<Utc>) -> Result<NewSchedule, Vec<Fault>> {
    let mut reader = Reader::default();
    let read = reader.object(document, "", SCHEDULE).and_then(|fields| {
        let name = name(fields, &mut reader);
        let workflow = workflow(fields, world, &mut reader);
        let rules = rules(fields, now, &mut reader);
        let paused = match fields.get("paused") {
            None => false,
            Some(Value::Bool(paused)) => *paused,
            Some(other) => {
                reader.wrong_kind("/paused", "true or false", other);
                false
            }
        };
        Some(NewSchedule { name: name?, workflow: workflow?, rules: rules?, paused })
    });
    match read {
        Some(read) if reader.faults.is_empty() => Ok(read),
        _ => Err(reader.faults),
    }
}

/// The rules alone, as they are stored.
pub fn read_rules(stored: &Value, now: DateTime<Utc>) -> Result<Rules, Vec<Fault>> {
    let mut reader = Reader::default();
    let read = reader.object(stored, "", SCHEDULE).and_then(|fields| rules(fields, now, &mut reader));
    match read {
        Some(read) if reader.faults.is_empty() => Ok(read),
        _ => Err(reader.faults),
    }
}

fn name(fields: &Map<String, Value>, reader: &mut Reader) -> Option<ScheduleName> {
    let Some(name) = fields.get("name") else {
        reader.fault("", "a schedule needs a `name`");
        return None;
    };
    let text = reader.text(name, "/name")?;
    ScheduleName::new(text).map_err(|bad| reader.fault("/name", bad.to_string())).ok()
}

fn workflow(fields: &Map<String, Value>, world: &World, reader: &mut Reader) -> Option<Value> {
    let Some(workflow) = fields.get("workflow") else {
        reader.fault("", "a schedule needs a `workflow`: a document of `steps`, of `agents`, or of a `playbook`");
        return None;
    };
    match check(workflow, world) {
        Ok(_) => Some(workflow.clone()),
        Err(faults) => {
            let below = |fault: Fault| Fault::new(format!("/workflow{}", fault.pointer), fault.detail);
            reader.faults.extend(faults.into_iter().map(below));
            None
        }
    }
}

fn rules(fields: &Map<String, Value>, now: DateTime<Utc>, reader: &mut Reader) -> Option<Rules> {
    let timing = timing(fields, now, reader);
    let zone = match fields.get("time_zone") {
        None => Some(Tz::UTC),
        Some(value) => reader.text(value, "/time_zone").and_then(|text| {
            let found = zone(text);
            let hint = || did_you_mean(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
            found.map_err(|bad| reader.fault("/time_zone", format!("{bad}{}", hint()))).ok()
        }),
    };
    let catch_ups = CatchUp::ALL.map(|word| (word.as_str(), word));
    let catch_up = fields.get("catch_up").and_then(|value| reader.word(value, "/catch_up", &catch_ups));
    let overlaps = Overlap::ALL.map(|word| (word.as_str(), word));
    let overlap = fields.get("overlap").and_then(|value| reader.word(value, "/overlap", &overlaps));
    Some(Rules {
        timing: timing?,
        zone: zone?,
        catch_up: catch_up.unwrap_or_default(),
        overlap: overlap.unwrap_or_default(),
    })
}

fn timing(fields: &Map<String, Value>, now: DateTime<Utc>, reader: &mut Reader) -> Option<Timing> {
    let cron = fields.get("cron").map(|value| {
        let text = reader.text(value, "/cron")?;
        Timing::cron(text, now).map_err(|bad| reader.fault("/cron", bad.to_string())).ok()
    });
    let every = fields.get("every").map(|value| {
        let every = reader.duration(value, "/every")?;
        Timing::every(every).map_err(|bad| reader.fault("/every", bad.to_string())).ok()
    });
    match (cron, every) {
        (Some(timing), None) | (None, Some(timing)) => timing,
        (Some(_), Some(_)) => {
            reader.fault("/every", "a schedule has `cron` or `every`, not both");
            None
        }
        (None, None) => {
            reader.fault("", "a schedule needs `cron`, such as \"0 3 * * *\", or `every`, such as \"6h\"");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::ids::{AgentId, ToolId};
    use crate::workflow::step::ToolFacts;
    use crate::workflow::world::AgentFacts;

    fn world() -> World {
        let tool = ToolId::new("cp.echo").expect("id");
        let facts = ToolFacts { repeatable: true, needs_evidence: false, learn: false, changes: false };
        let agent = AgentFacts { tools: vec![tool.clone()], timeout: Duration::from_secs(30) };
        World {
            agents: [(AgentId::new("TESTBED").expect("id"), agent)].into(),
            tools: [(tool, facts)].into(),
            ..World::default()
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    fn good() -> Value {
        json!({ "name": "nightly", "workflow": { "agents": ["TESTBED"] }, "cron": "0 3 * * *" })
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let read = read(&good(), &world(), now()).expect("a schedule");
        assert_eq!((read.name.as_str(), read.paused), ("nightly", false));
        let expected = json!({ "cron": "0 3 * * *", "time_zone": "UTC", "catch_up": "one", "overlap": "skip" });
        assert_eq!(read.rules.to_json(), expected);
    }

    #[test]
    fn rules_are_read_back_as_they_were_stored() {
        for timing in [json!({ "cron": "@daily" }), json!({ "every": "1h30m" })] {
            let mut document = json!({ "time_zone": "Europe/Berlin", "catch_up": "all", "overlap": "cancel_previous" });
            document.as_object_mut().expect("an object").extend(timing.as_object().expect("an object").clone());
            let rules = read_rules(&document, now()).expect("rules");
            assert_eq!(rules.to_json(), document);
            assert_eq!(read_rules(&rules.to_json(), now()), Ok(rules));
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let document = json!({
            "name": "Nightly Run", "workflow": { "steps": [{ "id": "a", "agent": "NOBODY" }, { "id": "b" }] },
            "cron": "0 25 * * *", "every": "10ms", "time_zone": "Europe/Berlim", "catch_up": "some", "overlap": 3,
            "paused": "no", "crom": 1,
        });
        let faults = read(&document, &world(), now()).expect_err("faults");
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        for pointer in [
            "/name",
            "/workflow/steps/0/agent",
            "/workflow/steps/1",
            "/cron",
            "/every",
            "/time_zone",
            "/catch_up",
            "/overlap",
            "/paused",
            "/crom",
        ] {
            assert!(pointers.contains(&pointer), "no {pointer} in {faults:#?}");
        }
        assert!(faults.iter().any(|fault| fault.detail.contains("did you mean `Europe/Berlin`?")), "{faults:#?}");
        let bare = read(&json!({}), &world(), now()).expect_err("faults");
        assert_eq!(bare.len(), 3, "{bare:#?}");
        assert_eq!(read(&json!([]), &world(), now()).expect_err("faults").len(), 1);
    }
}
