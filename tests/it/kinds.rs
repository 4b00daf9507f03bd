//! Each kind of actor is made to panic while all of them work: supervision brings it back, and nothing is lost.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::spawn;

use dsmil::store::database::Database;
use serde_json::{Value, json};

use crate::support::database::sql;
use crate::support::service::{Home, Service};
use crate::support::until;

fn find<'a>(node: &'a Value, name: &str) -> Option<&'a Value> {
    if node["name"] == name && node["kind"] == "worker" {
        return Some(node);
    }
    node["children"].as_array()?.iter().find_map(|child| find(child, name))
}

/// A child by its name: how often it was started, and whether it is up.
fn look(service: &Service, name: &str) -> (u64, bool) {
    let tree = service.get("/api/v1/supervision").json();
    let child = find(&tree, name).unwrap_or_else(|| panic!("no child {name} in {tree:#}"));
    (child["restarts"].as_u64().expect("a count"), child["state"] == "up")
}

#[test]
fn every_kind_of_actor_survives_a_panic_under_load() {
    let home = Home::new();
    let config = home.write("config.toml", "[drills]\nenabled = true\n");
    let service = Arc::new(Service::start_with(&home, &["--config", &config.display().to_string()]));
    let stop = Arc::new(AtomicBool::new(false));
    // Runs with steps that are done, learned from, signed and hashed, one after the other.
    let load = {
        let (service, stop) = (Arc::clone(&service), Arc::clone(&stop));
        spawn(move || {
            let mut runs = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let steps: Vec<Value> = (0..20)
                    .map(|n| {
                        json!({ "id": format!("s{n}"), "agent": "TESTBED", "tool": "cp.echo",
                        "retry": { "max_attempts": 5 } })
                    })
                    .chain([json!({ "id": "tree", "agent": "INTEGRITY-SENTINEL", "tool": "fs.manifest",
                        "input": { "paths": ["/etc/apt", "/etc/ssl"] }, "retry": { "max_attempts": 5 } })])
                    .collect();
                let answer =
                    service.post("/api/v1/workflows", &json!({ "name": "load", "mode": "parallel", "steps": steps }));
                match answer.status {
                    202 => runs.push(answer.json()["workflow_id"].as_str().expect("an id").to_owned()),
                    503 => {}
                    other => panic!("{other}: {}", answer.body),
                }
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
            runs
        })
    };
    for name in [
        "ARCHITECT",
        "TESTBED",
        "signer",
        "auditor",
        "learner",
        "worker-0",
        "pool",
        "alerts",
        "recovery",
        "hub",
        "orchestrator",
    ] {
        let (before, up) = look(&service, name);
        assert!(up, "{name}");
        let drilled = service.post(&format!("/api/v1/supervision/{name}/drill"), &json!({}));
        assert_eq!(drilled.status, 202, "{name}: {}", drilled.body);
        until(&format!("return of {name}"), || {
            let (restarts, up) = look(&service, name);
            (up && restarts > before).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    let runs = load.join().expect("the load ends");
    assert!(runs.len() > 10, "{} runs", runs.len());
    for run in &runs {
        let ended = service.finished(run);
        assert_eq!(ended["status"], "succeeded", "{ended:#}");
    }

    // Each does its work again: signs what was done, has learned from it, raises an alert.
    let head = until("signed head over everything", || {
        let entries = service.get("/api/v1/audit/entries?from=0&to=1000000").json();
        let newest =
            entries["entries"].as_array().and_then(|entries| entries.last()).map(|entry| entry["index"].clone());
        let size = service.get("/api/v1/audit/head").json()["size"].as_u64()?;
        (newest.and_then(|newest| newest.as_u64()) < Some(size)).then_some(size)
    });
    assert!(head > runs.len() as u64);
    // A run that the orchestrator took with it before it could be made durable was never accepted, and a run whose
    // submission had no answer may have been: the database says how many there are.
    let database = Database::on_socket(&home.data().join("postgres/socket"), 5433, "dsmil");
    let numbers = "SELECT (SELECT count(*) FROM ledger.runs), (SELECT count(*) FROM ledger.runs WHERE finished IS NULL), \
                   (SELECT count(*) FROM system_coordination_log), \
                   (SELECT count(*) FROM agent_performance_metrics WHERE task_type = 'fs.manifest'), \
                   (SELECT count(DISTINCT run_id) FROM agent_performance_metrics WHERE task_type = 'fs.manifest')";
    until("all lessons are stored", || {
        let found = sql(&database, numbers);
        let counts: Vec<usize> = found.split('|').map(|count| count.parse().expect("a number")).collect();
        let [all, open, learned, attempts, trees] = counts[..] else { panic!("{found}") };
        assert!(learned <= all && all >= runs.len(), "{found}");
        // A tree that was hashed again after a panic is a second attempt, with a lesson of its own.
        (open == 0 && learned == all && trees == all && attempts >= all).then_some(())
    });
    let learner = service.get("/api/v1/learner").json();
    for given_up in ["dropped", "offers_dropped"] {
        assert_eq!(learner[given_up], 0, "{learner}");
    }
    let pool = service.get("/api/v1/compute").json();
    assert!(pool["messages"].as_u64() > Some(0) && pool["waiting_jobs"] == 0, "{pool}");
    assert_eq!(service.post("/api/v1/alerts/test", &json!({ "firing": true })).status, 200);
    until("alert", || service.get("/api/v1/alerts").body.contains("\"firing\"").then_some(()));
    let checked = home.dsmil(&["audit", "verify"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
