//! `load.read`: memory, swap, load, pressure, OOM kills and context switches.
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
use crate::tools::evidence::Unread;
use crate::tools::input;
use crate::tools::schema;

pub struct LoadRead;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Seconds to watch context switches; 0 reads once and leaves `ctxt_s` null.
    #[serde(default)]
    #[schemars(range(max = 60))]
    window_s: u64,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Load {
    mem: Option<Memory>,
    swap: Option<Swap>,
    load: Option<Averages>,
    psi: Option<Psi>,
    /// Processes killed for want of memory since boot.
    oom_kills: Option<u64>,
    /// Context switches per second over the window.
    ctxt_s: Option<f64>,
    cpus: Option<usize>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Memory {
    total_bytes: u64,
    free_bytes: u64,
    /// What a new process could get without swapping.
    available_bytes: u64,
    buffers_bytes: u64,
    cached_bytes: u64,
    shared_bytes: u64,
    dirty_bytes: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Swap {
    total_bytes: u64,
    free_bytes: u64,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Averages {
    avg1: f64,
    avg5: f64,
    avg15: f64,
    /// Tasks that run or wait for a processor.
    running: u64,
    tasks: u64,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Psi {
    cpu: Option<Pressure>,
    mem: Option<Pressure>,
    io: Option<Pressure>,
}

/// Share of time in which some task waited, in percent.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Pressure {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    total_us: u64,
}

impl Tool for LoadRead {
    fn spec(&self) -> ToolSpec {
        let what = "Memory, swap, load, pressure stall information, OOM kills and context switches";
        schema::read_only::<Input, Load>("load.read", what, "none", Duration::from_secs(90))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        read(cx, input).unwrap_or_else(|stopped| *stopped)
    }
}

fn read(cx: &ToolCx, input: &Value) -> Result<Output, Box<Output>> {
    let Input { window_s } = input::parse(input)?;
    if window_s > 60 {
        return Err(input::invalid("window_s", format!("{window_s} is more than the 60 seconds allowed")));
    }
    let mut reader = Reader::new(cx);
    let before = reader.text(&reader.proc("stat"));
    let began = cx.time.now();
    cx.pause(Duration::from_secs(window_s))?;

    let ctxt_s = if window_s == 0 {
        None
    } else {
        let after = reader.text(&reader.proc("stat"));
        let seconds = cx.time.now().saturating_duration_since(began).as_secs_f64();
        let rate = before.clone().and_then(|before| switches_per_second(&before, &after?, seconds));
        reader.or_gap("ctxt_s", rate)
    };
    let meminfo = reader.text(&reader.proc("meminfo"));
    let mem = reader.or_gap("mem", meminfo.as_deref().map_err(Clone::clone).and_then(memory));
    let swap = reader.or_gap("swap", meminfo.as_deref().map_err(Clone::clone).and_then(swap));
    let averages = reader.text(&reader.proc("loadavg")).and_then(|text| averages(&text));
    let load = reader.or_gap("load", averages);
    let kills = reader.text(&reader.proc("vmstat")).and_then(|text| field(&fields(&text), "vmstat", "oom_kill"));
    let oom_kills = reader.or_gap("oom_kills", kills);
    let cpus = reader.or_gap("cpus", before.map(|text| cpus(&text)));
    let psi = psi(&mut reader);
    Ok(reader.finish(Load { mem, swap, load, psi, oom_kills, ctxt_s, cpus }))
}

fn psi(reader: &mut Reader<'_>) -> Option<Psi> {
    let mut one = |file: &str, field: &str| {
        let read = reader.text(&reader.proc("pressure").join(file)).and_then(|text| pressure(file, &text));
        reader.or_gap(field, read)
    };
    let psi = Psi { cpu: one("cpu", "psi.cpu"), mem: one("memory", "psi.mem"), io: one("io", "psi.io") };
    (psi != Psi { cpu: None, mem: None, io: None }).then_some(psi)
}

/// Lines of a name and a number, as in meminfo (`MemFree:  12 kB`) and vmstat (`oom_kill 0`).
fn fields(text: &str) -> BTreeMap<&str, u64> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?.trim_end_matches(':');
            let number: u64 = words.next()?.parse().ok()?;
            let unit = if words.next() == Some("kB") { 1024 } else { 1 };
            Some((name, number.saturating_mul(unit)))
        })
        .collect()
}

fn field(fields: &BTreeMap<&str, u64>, file: &str, name: &str) -> Result<u64, Unread> {
    let absent = || Unread::Malformed { what: file.to_owned(), why: format!("it has no `{name}`") };
    fields.get(name).copied().ok_or_else(absent)
}

fn memory(text: &str) -> Result<Memory, Unread> {
    let fields = fields(text);
    let get = |name| field(&fields, "meminfo", name);
    Ok(Memory {
        total_bytes: get("MemTotal")?,
        free_bytes: get("MemFree")?,
        available_bytes: get("MemAvailable")?,
        buffers_bytes: get("Buffers")?,
        cached_bytes: get("Cached")?,
        shared_bytes: get("Shmem")?,
        dirty_bytes: get("Dirty")?,
    })
}

fn swap(text: &str) -> Result<Swap, Unread> {
    let fields = fields(text);
    let get = |name| field(&fields, "meminfo", name);
    Ok(Swap { total_bytes: get("SwapTotal")?, free_bytes: get("SwapFree")? })
}

/// `0.10 0.20 0.30 1/234 5678`
fn averages(text: &str) -> Result<Averages, Unread> {
    let parsed = || {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [avg1, avg5, avg15, tasks, ..] = words.as_slice() else { return None };
        let (running, tasks) = tasks.split_once('/')?;
        Some(Averages {
            avg1: finite(avg1)?,
            avg5: finite(avg5)?,
            avg15: finite(avg15)?,
            running: running.parse().ok()?,
            tasks: tasks.parse().ok()?,
        })
    };
    let why = "expected three averages and running/all tasks".to_owned();
    parsed().ok_or(Unread::Malformed { what: "loadavg".to_owned(), why })
}

/// The `some` line: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`
fn pressure(file: &str, text: &str) -> Result<Pressure, Unread> {
    let parsed = || {
        let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
        let value =
            |name: &str| line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some(Pressure {
            avg10: finite(value("avg10")?)?,
            avg60: finite(value("avg60")?)?,
            avg300: finite(value("avg300")?)?,
            total_us: value("total")?.parse().ok()?,
        })
    };
    let why = "expected a line `some avg10=.. avg60=.. avg300=.. total=..`".to_owned();
    parsed().ok_or_else(|| Unread::Malformed { what: format!("pressure/{file}"), why })
}

fn switches_per_second(before: &str, after: &str, seconds: f64) -> Result<f64, Unread> {
    let count = |text: &str| field(&fields(text), "stat", "ctxt");
    let more = count(after)?.saturating_sub(count(before)?);
    Ok(more as f64 / seconds)
}

fn cpus(stat: &str) -> usize {
    stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count()
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn the_laptop_is_read_in_full() {
        let output = LoadRead.call(&FixtureCx::named("latitude"), &Value::Null);
        assert_eq!(output.status, Status::Ok, "{:?}", output.reason);
        assert_eq!(output.data["mem"]["total_bytes"], 32_594_812_u64 * 1024);
        assert_eq!(output.data["mem"]["available_bytes"], 24_150_220_u64 * 1024);
        assert_eq!(
            output.data["swap"],
            json!({"total_bytes": 8_388_604_u64 * 1024, "free_bytes": 8_388_604_u64 * 1024})
        );
        let load = json!({"avg1": 0.52, "avg5": 0.48, "avg15": 0.41, "running": 2, "tasks": 1187});
        assert_eq!(output.data["load"], load);
        let cpu = json!({"avg10": 0.12, "avg60": 0.08, "avg300": 0.02, "total_us": 48_112_233});
        assert_eq!(output.data["psi"]["cpu"], cpu);
        assert_eq!(output.data["oom_kills"], 1);
        assert_eq!(output.data["cpus"], 4);
        assert_eq!(output.data["ctxt_s"], Value::Null, "nobody asked for a window");
        assert!(output.evidence.iter().any(|record| record.source.ends_with("proc/meminfo")));
    }

    #[test]
    fn a_kernel_without_pressure_degrades_and_the_rest_is_there() {
        let output = LoadRead.call(&FixtureCx::named("bare-vm"), &json!({"window_s": 2}));
        assert_eq!(output.status, Status::Degraded);
        assert_eq!(output.data["psi"], Value::Null);
        assert_eq!(output.data["ctxt_s"], 0.0, "the file stands still");
        assert!(output.data["mem"]["total_bytes"].is_u64());
        let reason = output.reason.expect("a reason");
        assert_eq!(reason.code, "no_facility");
        assert!(reason.facility.ends_with("proc/pressure/cpu"), "{}", reason.facility);
    }

    #[test]
    fn switches_are_counted_over_the_window() {
        let rate = switches_per_second("cpu 1\nctxt 100\n", "cpu 1\nctxt 350\n", 2.0);
        assert_eq!(rate, Ok(125.0));
    }

    #[test]
    fn a_window_of_more_than_a_minute_is_refused() {
        let output = LoadRead.call(&FixtureCx::empty(), &json!({"window_s": 61}));
        assert_eq!(output.status, Status::Failed);
        assert_eq!(output.reason.expect("a reason").facility, "window_s");
    }

    #[test]
    fn a_cancelled_step_stops_in_its_window() {
        let cx = FixtureCx::named("bare-vm");
        cx.cancel.raise();
        assert_eq!(LoadRead.call(&cx, &json!({"window_s": 5})).status, Status::Aborted);
    }

    #[test]
    fn this_host_has_memory() {
        let output = LoadRead.call(&FixtureCx::live(), &Value::Null);
        assert!(matches!(output.status, Status::Ok | Status::Degraded), "{:?}", output.reason);
        assert!(output.data["mem"]["total_bytes"].as_u64() > Some(0));
        assert!(!output.evidence.is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            prop_assert!(memory(&text).is_err() || fields(&text).len() > 5);
            prop_assert!(swap(&text).is_err() || fields(&text).len() > 1);
            let settled = (averages(&text).is_ok(), pressure("cpu", &text).is_ok(), cpus(&text));
            prop_assert!(settled.2 <= text.lines().count());
        }
    }
}
