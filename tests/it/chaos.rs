//! A chaos drill: all agents, and the parts of the service itself, suffer random faults while workflows run.
//!
//! Afterwards every workflow that was accepted has ended with a status that its steps bear out, nothing acknowledged
//! is lost, the service has its memory and threads of before, all serve again, and the audit log verifies and names
//! every fault. `make soak` sets the switch for the minute's form.
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use dsmil::clock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::service::{Home, Service};

const RUNS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(150);
/// Between two faults; every tenth of the agents' is a panic, which their supervisors count.
const PAUSE: Duration = Duration::from_millis(10);
/// What the allocator may keep of a load that the service did not have before.
const SLACK_MB: usize = 64;
/// Parts of the service that are told to panic now and then.
const PARTS: [&str; 11] = [
    "signer",
    "auditor",
    "orchestrator",
    "store-reader",
    "store-writer",
    "learner",
    "hub",
    "alerts",
    "recovery",
    "agent-monitor",
    "keys",
];

fn lasts() -> Duration {
    Duration::from_secs(if std::env::var_os("DSMIL_SOAK").is_some() { 60 } else { 10 })
}

fn seed() -> u64 {
    let given = std::env::var("DSMIL_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(rand::random)
}

/// What the drill did.
#[derive(Default)]
struct Tally {
    runs: Vec<String>,
    /// Told, by fault and child: what the log must name.
    faults: BTreeMap<(String, String), usize>,
    refused: usize,
}

#[test]
fn workflows_end_truthfully_while_every_part_of_the_service_fails() {
    let seed = seed();
    println!("DSMIL_CHAOS_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let home = Home::new();
    let config = home.write("drills.toml", "[drills]\nenabled = true\n");
    let service = Service::start_with(&home, &["--config", &config.display().to_string()]);
    let agents = agents(&service);
    assert_eq!(agents.len(), 80);
    let warm: Vec<String> = (0..20).map(|n| service.submit(&document(n, &agents, &mut chance))).collect();
    for run in &warm {
        service.finished(run);
    }
    let before = Footprint::of(&service);

    let tally = storm(&service, &agents, &mut chance);
    println!("{} faults, {} runs, {} refusals", tally.faults.values().sum::<usize>(), tally.runs.len(), tally.refused);
    assert_eq!(tally.runs.iter().collect::<HashSet<_>>().len(), RUNS);
    calm(&service, &agents);
    let ended: Vec<Value> = tally.runs.iter().map(|run| ended(&service, run)).collect();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &ended {
        check_truth(run);
        *count.entry(run["status"].as_str().expect("status")).or_default() += 1;
    }
    println!("{count:?}");
    assert!(count.get("succeeded").is_some_and(|succeeded| *succeeded >= RUNS / 4), "{count:?}");
    check_footprint(&service, &before);
    check_log(&home, service, &tally);
}

fn agents(service: &Service) -> Vec<String> {
    let list = service.get("/api/v1/agents").json();
    let agents = list["agents"].as_array().expect("agents").iter();
    agents.map(|agent| agent["agent_id"].as_str().expect("id").to_owned()).collect()
}

/// One of three kinds: a few agents side by side, a graph with retries, a chain.
fn document(n: usize, agents: &[String], chance: &mut StdRng) -> Value {
    let mut any = || agents[chance.random_range(0..agents.len())].clone();
    let retry = json!({ "max_attempts": 3, "initial": "50ms" });
    match n % 3 {
        0 => {
            let step = |n: usize, agent: String| json!({ "id": format!("s{n}"), "agent": agent, "timeout": "15s" });
            let steps: Vec<Value> = (0..4).map(|n| step(n, any())).collect();
            json!({ "name": format!("side-by-side-{n}"), "mode": "parallel", "steps": steps })
        }
        1 => json!({
            "name": format!("graph-{n}"),
            "steps": [
                { "id": "a", "agent": "TESTBED", "tool": "cp.echo", "input": { "n": n }, "retry": retry, "timeout": "20s" },
                { "id": "b", "agent": "ORCHESTRATOR", "tool": "cp.echo", "input": { "n": n }, "retry": retry, "timeout": "20s" },
                { "id": "c", "agent": "PACER", "tool": "load.read", "needs": ["a"], "retry": retry, "timeout": "20s" },
                { "id": "d", "agent": "TESTBED", "tool": "cp.echo", "needs": ["b", "c"], "retry": retry, "timeout": "20s" },
            ],
        }),
        _ => json!({
            "name": format!("chain-{n}"), "mode": "sequential",
            "steps": [
                { "id": "a", "agent": "MONITOR", "tool": "load.read", "timeout": "15s" },
                { "id": "b", "agent": "TESTBED", "tool": "cp.echo", "input": { "n": n }, "timeout": "15s" },
                { "id": "c", "agent": "ORCHESTRATOR", "tool": "cp.echo", "input": { "n": n }, "timeout": "15s" },
            ],
        }),
    }
}

/// Faults and submissions until the time is over and all runs are accepted.
fn storm(service: &Service, agents: &[String], chance: &mut StdRng) -> Tally {
    let (mut tally, mut n) = (Tally::default(), 0);
    let end = clock::now() + lasts();
    let give_up = end + PATIENCE;
    while clock::now() < end || tally.runs.len() < RUNS {
        assert!(clock::now() < give_up, "only {} runs were accepted", tally.runs.len());
        if clock::now() < end {
            harm(service, n, agents, chance, &mut tally);
        }
        let due = if clock::now() < end { RUNS * elapsed_share(end) / 1_000 } else { RUNS };
        while tally.runs.len() < due {
            let answer = service.post("/api/v1/workflows", &document(tally.runs.len(), agents, chance));
            match answer.status {
                202 => tally.runs.push(answer.json()["workflow_id"].as_str().expect("id").to_owned()),
                // told to come again, or not told whether it was taken: it does not count as accepted
                502..=504 => {
                    tally.refused += 1;
                    break;
                }
                other => panic!("{other}: {}", answer.body),
            }
        }
        n += 1;
        std::thread::park_timeout(PAUSE);
    }
    tally
}

/// In thousandths.
fn elapsed_share(end: Instant) -> usize {
    let left = end.saturating_duration_since(clock::now());
    1_000 - usize::try_from(left.as_millis() * 1_000 / lasts().as_millis()).expect("a share")
}

/// One fault. Panics come three a second: more than ten of a kind in a minute would be too many for a supervisor.
fn harm(service: &Service, n: usize, agents: &[String], chance: &mut StdRng, tally: &mut Tally) {
    let agent = &agents[chance.random_range(0..agents.len())];
    let (child, drill) = match n % 50 {
        20 => (PARTS[chance.random_range(0..PARTS.len())].to_owned(), json!({ "fault": "panic" })),
        // beyond what the watchdog allows: the thread is given up
        40 if n % 100 == 40 => (agent.clone(), json!({ "fault": "stall", "ms": 6_000 })),
        m if m % 8 == 0 => (agent.clone(), json!({ "fault": "panic" })),
        m if m % 8 < 3 => (agent.clone(), json!({ "fault": "stall", "ms": chance.random_range(1..200) })),
        m if m % 8 < 5 => (
            agent.clone(),
            json!({ "fault": "slow", "ms": chance.random_range(1..500), "calls": chance.random_range(1..4) }),
        ),
        _ => (agent.clone(), json!({ "fault": "fail", "calls": chance.random_range(1..4) })),
    };
    let answer = service.post(&format!("/api/v1/supervision/{child}/drill"), &drill);
    match answer.status {
        202 => {
            let fault = drill["fault"].as_str().expect("fault").to_owned();
            *tally.faults.entry((fault, child)).or_default() += 1;
        }
        // between two lives, or the log is away: nothing was done
        409 | 502..=504 => tally.refused += 1,
        other => panic!("{other}: {}", answer.body),
    }
}

/// An operator restarts what is withdrawn, and waits until all serve.
fn calm(service: &Service, agents: &[String]) {
    let give_up = clock::now() + PATIENCE;
    loop {
        let list = service.get("/api/v1/agents");
        let shut: Vec<Value> = match list.status {
            200 => list.json()["agents"]
                .as_array()
                .expect("agents")
                .iter()
                .filter(|a| a["state"] != "up")
                .cloned()
                .collect(),
            _ => agents.iter().map(|id| json!({ "agent_id": id })).collect(),
        };
        if shut.is_empty() {
            return;
        }
        assert!(clock::now() < give_up, "these do not serve again: {shut:#?}");
        for agent in shut.iter().filter(|agent| agent["state"] == "open" || agent["state"] == "half_open") {
            service.post(&format!("/api/v1/agents/{}/restart", agent["agent_id"].as_str().expect("id")), &json!({}));
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn ended(service: &Service, run: &str) -> Value {
    let give_up = clock::now() + PATIENCE;
    loop {
        let shape = service.get(&format!("/api/v1/workflows/{run}?wait=5s"));
        assert_ne!(shape.status, 404, "an accepted run is lost: {run}");
        if shape.status == 200
            && !["pending", "running", "waiting"].contains(&shape.json()["status"].as_str().unwrap_or(""))
        {
            return shape.json();
        }
        assert!(clock::now() < give_up, "it does not end: {}", shape.body);
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// The status of a run is what its steps make it, and that of a step what its attempts make it.
fn check_truth(run: &Value) {
    let steps = run["steps"].as_array().expect("steps");
    let status = |step: &Value| step["status"].as_str().expect("status").to_owned();
    let good = |status: &str| ["succeeded", "degraded", "unavailable", "skipped"].contains(&status);
    for step in steps {
        let (attempts, status) = (step["attempts"].as_array().expect("attempts"), status(step));
        assert!(!["pending", "running"].contains(&status.as_str()), "{run:#}");
        match attempts.last() {
            Some(last) => {
                let done = last["status"].as_str().expect("status");
                let expected = if done == "ok" { "succeeded" } else { done };
                // its time may run out while it waits for the next attempt
                let ran_out = status == "timed_out" && done != "ok";
                assert!(ran_out || expected == status, "{done}, {status}: {} of {}", step["id"], run["workflow_id"]);
            }
            None => assert!(["skipped", "failed", "timed_out", "denied"].contains(&status.as_str()), "{step:#}"),
        }
        if status == "succeeded" && step["tool"] == "cp.echo" {
            assert_eq!(step["output"]["status"], "ok", "{step:#}");
        }
    }
    let all_good = steps.iter().all(|step| good(&status(step)));
    match run["status"].as_str().expect("status") {
        "succeeded" => assert!(all_good, "{run:#}"),
        "failed" | "timed_out" => assert!(!all_good, "{run:#}"),
        other => panic!("{other} was not asked for: {run:#}"),
    }
}

/// What the service takes of the machine.
#[derive(Debug)]
struct Footprint {
    threads: usize,
    resident_mb: usize,
}

impl Footprint {
    fn of(service: &Service) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a field");
            line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
        };
        Footprint { threads: field("Threads:"), resident_mb: field("VmRSS:") / 1024 }
    }
}

/// Threads that tools were run on end after ten idle seconds.
fn check_footprint(service: &Service, before: &Footprint) {
    let give_up = clock::now() + Duration::from_secs(60);
    loop {
        let now = Footprint::of(service);
        if now.threads <= before.threads && now.resident_mb <= before.resident_mb + SLACK_MB {
            return println!("{before:?}, then {now:?}");
        }
        assert!(clock::now() < give_up, "{before:?}, then {now:?}");
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

/// The log verifies offline, tells of each run once, and names each fault.
fn check_log(home: &Home, service: Service, tally: &Tally) {
    let mut told: BTreeMap<(String, String), usize> = BTreeMap::new();
    let (mut from, text) = (0, |entry: &Value, key: &str| entry["entry"][key].as_str().unwrap_or("").to_owned());
    loop {
        let page = service.get(&format!("/api/v1/audit/entries?from={from}&to={}", from + 1_000)).json();
        let entries = page["entries"].as_array().expect("entries").clone();
        if entries.is_empty() {
            break;
        }
        from += entries.len();
        for entry in &entries {
            let op = text(entry, "op");
            if op == "drill.injected" && text(entry, "outcome") == "refused" {
                continue;
            }
            if op == "drill.injected" {
                let fault = text(entry, "detail").split([' ', ',']).next().expect("a word").to_owned();
                let child = text(entry, "subject").trim_start_matches("child/").to_owned();
                assert!(text(entry, "actor").starts_with("token:"), "{entry:#}");
                *told.entry((fault, child)).or_default() += 1;
            } else {
                *told.entry((op, text(entry, "subject"))).or_default() += 1;
            }
        }
    }
    for run in &tally.runs {
        for op in ["run.accepted", "run.finished"] {
            assert_eq!(told.get(&(op.to_owned(), format!("run/{run}"))), Some(&1), "{op} of {run}");
        }
    }
    for (fault, count) in &tally.faults {
        assert!(told.get(fault).is_some_and(|told| told >= count), "{fault:?}: {count}, {:?} told", told.get(fault));
    }
    assert_eq!(service.stop(), 0);
    let (vkey, log) = (home.data().join("audit/log/vkey"), home.data().join("audit/log"));
    let verdict =
        home.dsmil(&["audit", "verify", "--dir", &log.display().to_string(), "--vkey", &vkey.display().to_string()]);
    let said = [verdict.stdout, verdict.stderr].concat();
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&said));
}
