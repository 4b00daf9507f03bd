//! Many runs at once, and one long run, through the whole service: how fast it is, and that each ends as it should.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use dsmil::clock;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::service::{Home, Service};
use crate::support::until;

/// Who submits at the same time.
const CLIENTS: usize = 32;
/// Alike; so that the places of one are not the bound.
const AGENTS: [&str; 2] = ["TESTBED", "ORCHESTRATOR"];

fn echo(n: usize) -> Value {
    let agent = AGENTS[n % AGENTS.len()];
    json!({ "name": "echo", "steps": [{ "id": "e", "agent": agent, "tool": "cp.echo", "input": { "n": n } }] })
}

/// `make soak` asks for more.
fn many() -> usize {
    if std::env::var_os("DSMIL_SOAK").is_some() { 5_000 } else { 500 }
}

fn start() -> (Home, Service) {
    let home = Home::new();
    let config = home.write("config.toml", "[engine]\nmax_open_runs = 10000\n[drills]\nenabled = true\n");
    let service = Service::start_with(&home, &["--config", &config.display().to_string()]);
    (home, service)
}

#[test]
fn many_runs_are_accepted_and_all_end() {
    let (_home, service) = start();
    let (many, next, runs) = (many(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let began: Instant = clock::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= many {
                        return;
                    }
                    let run = service.submit(&echo(n));
                    runs.lock().push((n, run));
                }
            });
        }
    });
    let accepted = began.elapsed();
    let running = || service.get("/api/v1/workflows?status=running&limit=500").json()["workflows"].clone();
    let open = running().as_array().map_or(0, Vec::len);
    until("the end of all runs", || (running() == json!([])).then_some(()));
    let ended = began.elapsed();
    let rate = |time: std::time::Duration| many as f64 / time.as_secs_f64();
    println!(
        "{many} runs: accepted in {accepted:.2?} ({:.0}/s), {open} of them open then; ended after {ended:.2?} ({:.0}/s)",
        rate(accepted),
        rate(ended)
    );
    let mut succeeded = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = service.get(&format!("/api/v1/workflows?status=succeeded&limit=500{cursor}")).json();
        let ids = page["workflows"].as_array().expect("a page").iter().map(|run| run["workflow_id"].to_string());
        succeeded.extend(ids.map(|id| id.trim_matches('"').to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let runs = runs.into_inner();
    assert_eq!(succeeded, runs.iter().map(|(_, run)| run.clone()).collect());
    for (n, run) in runs.iter().step_by(many / 50) {
        let run = service.finished(run);
        assert_eq!((&run["status"], &run["results"]["e"]), (&json!("succeeded"), &json!({ "n": n })), "{run:#}");
    }
}

/// Has a child panic, whichever it is.
fn drill(service: &Service, child: &str) {
    let answer = service.post(&format!("/api/v1/supervision/{child}/drill"), &json!({}));
    assert_eq!(answer.status, 202, "{}", answer.body);
}

#[test]
fn runs_go_on_when_one_of_them_or_the_orchestrator_panics() {
    let (_home, service) = start();
    let slow = |n: usize| {
        let read = json!({ "id": "read", "agent": "PACER", "tool": "load.read", "input": { "window_s": 2 } });
        let echo = json!({ "id": "e", "agent": "TESTBED", "tool": "cp.echo", "input": { "n": n } });
        json!({ "name": "slow", "mode": "sequential", "steps": [read, echo] })
    };
    let runs: Vec<String> = (0..3).map(|n| service.submit(&slow(n))).collect();
    drill(&service, &runs[0]);
    drill(&service, "orchestrator");
    let after = until("a new orchestrator", || {
        let answer = service.post("/api/v1/workflows", &echo(9));
        (answer.status == 202).then(|| answer.json()["workflow_id"].as_str().expect("an id").to_owned())
    });
    assert_eq!(service.finished(&after)["status"], "succeeded");
    for (n, run) in runs.iter().enumerate() {
        let run = service.finished(run);
        assert_eq!((&run["status"], &run["results"]["e"]), (&json!("succeeded"), &json!({ "n": n })), "{run:#}");
        let attempts = run["steps"][0]["attempts"].as_array().expect("attempts").len();
        assert_eq!(attempts, if n == 0 { 2 } else { 1 }, "{run:#}");
    }
}

#[test]
fn a_long_run_goes_from_step_to_step() {
    const STEPS: usize = 1_000;
    let (_home, service) = start();
    let step = |n: usize| json!({ "id": format!("s{n}"), "agent": "TESTBED", "tool": "cp.echo", "input": { "n": n } });
    let steps: Vec<Value> = (0..STEPS).map(step).collect();
    let run = service.submit(&json!({ "name": "long", "mode": "sequential", "steps": steps }));
    let run = service.finished(&run);
    assert_eq!(run["status"], "succeeded");
    let took = run["execution_time_ms"].as_f64().expect("a time");
    println!("a run of {STEPS} steps, one after the other: {took} ms, {:.0} steps/s", STEPS as f64 * 1_000.0 / took);
}
