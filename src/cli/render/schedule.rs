//! Schedules, and what came of their times.
use crate::api::schedule::{Firing, Schedule, ShownSchedule};
use crate::cli::render::table::{Row, Style, Tone, or_dash, table};

pub fn list(schedules: &[Schedule], style: Style) -> String {
    if schedules.is_empty() {
        return "there are no schedules\n".to_owned();
    }
    let row = |schedule: &Schedule| {
        let tone = match (schedule.paused, &schedule.trouble, &schedule.last) {
            (_, Some(_), _) => Tone::Bad,
            (true, ..) => Tone::Faint,
            (_, _, Some(last)) if last.state == "failed" => Tone::Bad,
            _ => Tone::Plain,
        };
        let last = schedule.last.as_ref();
        let cells = [
            schedule.name.clone(),
            timing(schedule),
            schedule.time_zone.clone(),
            if schedule.paused { "paused".to_owned() } else { or_dash(schedule.upcoming.first().cloned()) },
            or_dash(last.map(|last| format!("{} {}", last.due.format("%Y-%m-%d %H:%M:%SZ"), last.state))),
            or_dash(last.and_then(|last| last.workflow_id).map(|run| run.to_string())),
            or_dash(schedule.trouble.clone()),
        ];
        Row::new(tone, cells)
    };
    let rows: Vec<Row> = schedules.iter().map(row).collect();
    table(style, &["schedule", "when", "time zone", "next", "last", "run", "trouble"], &rows)
}

pub fn show(shown: &ShownSchedule, style: Style) -> String {
    let schedule = &shown.schedule;
    let mut text = format!(
        "{}\n{} in {}, catch up: {}, overlap: {}\nmade {} by {}\n",
        next(schedule),
        timing(schedule),
        schedule.time_zone,
        schedule.catch_up,
        schedule.overlap,
        schedule.created.format("%Y-%m-%d %H:%M:%SZ"),
        schedule.created_by,
    );
    if let Some(trouble) = &schedule.trouble {
        text.push_str(&style.paint(Tone::Bad, &format!("cannot go on at present: {trouble}")));
        text.push('\n');
    }
    if shown.firings.is_empty() {
        return text;
    }
    let row = |firing: &Firing| {
        let tone = match firing.state.as_str() {
            "started" => Tone::Good,
            "failed" => Tone::Bad,
            "missed" => Tone::Warning,
            "skipped" => Tone::Faint,
            _ => Tone::Plain,
        };
        let cells = [
            firing.due.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            firing.state.clone(),
            or_dash(firing.workflow_id.map(|run| run.to_string())),
            or_dash(firing.ordered_by.clone()),
            or_dash(firing.detail.clone()),
        ];
        Row::new(tone, cells)
    };
    let rows: Vec<Row> = shown.firings.iter().map(row).collect();
    text.push('\n');
    text.push_str(&table(style, &["due", "state", "run", "ordered by", "detail"], &rows));
    text
}

/// One line: its name, and when it is due next.
pub fn next(schedule: &Schedule) -> String {
    match schedule.upcoming.first() {
        _ if schedule.paused => format!("{} is paused", schedule.name),
        Some(next) => format!("{} is due next at {next}", schedule.name),
        None => format!("{} is never due again", schedule.name),
    }
}

fn timing(schedule: &Schedule) -> String {
    match (&schedule.cron, &schedule.every) {
        (Some(cron), _) => cron.clone(),
        (None, Some(every)) => format!("every {every}"),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    fn schedule() -> Schedule {
        let text = |text: &str| text.to_owned();
        Schedule {
            schedule_id: Uuid::nil(),
            name: text("nightly"),
            workflow: Value::Null,
            cron: Some(text("0 3 * * *")),
            every: None,
            time_zone: text("Europe/Berlin"),
            catch_up: text("one"),
            overlap: text("skip"),
            paused: false,
            created: DateTime::UNIX_EPOCH,
            created_by: text("token:a"),
            upcoming: vec![text("2026-06-01T03:00:00+02:00")],
            waiting: 0,
            open: Vec::new(),
            last: None,
            trouble: None,
        }
    }

    #[test]
    fn a_schedule_tells_when_it_is_due_and_what_came_of_it() {
        let plain = Style::default();
        assert_eq!(list(&[], plain), "there are no schedules\n");
        let listed = list(&[schedule(), Schedule { paused: true, ..schedule() }], plain);
        assert!(listed.contains("0 3 * * *") && listed.contains("paused"), "{listed}");
        let firing = Firing {
            due: DateTime::UNIX_EPOCH,
            state: "skipped".to_owned(),
            workflow_id: None,
            ordered_by: None,
            detail: Some("the last run is still open".to_owned()),
        };
        let shown = show(&ShownSchedule { schedule: schedule(), firings: vec![firing] }, plain);
        assert!(shown.starts_with("nightly is due next at 2026-06-01T03:00:00+02:00\n"), "{shown}");
        assert!(shown.contains("1970-01-01 00:00:00Z  skipped  -"), "{shown}");
    }
}
