//! What was accepted survives the death of the service, and the audit log can prove it.
use std::collections::BTreeMap;
use std::fs;

use dsmil::store::database::Database;
use serde_json::{Value, json};

use crate::support::database::sql;
use crate::support::service::{Home, Service};

const READERS: [&str; 7] =
    ["PACER", "MONITOR", "OPTIMIZER", "POWER-MANAGER", "MEMORY-ANALYST", "IO-ANALYST", "CAPACITY-PLANNER"];

/// Two seconds of real reading between two echoes, so that a kill meets every kind of step.
fn document(n: usize) -> Value {
    let agent = READERS[n % READERS.len()];
    json!({
        "name": format!("crash-{n}"), "mode": "sequential",
        "steps": [
            { "id": "before", "agent": "TESTBED", "tool": "cp.echo", "input": { "n": n } },
            { "id": "read", "agent": agent, "tool": "load.read", "input": { "window_s": 1 } },
            { "id": "again", "agent": agent, "tool": "load.read", "input": { "window_s": 1 } },
            { "id": "after", "agent": "ORCHESTRATOR", "tool": "cp.echo", "input": { "n": n } },
        ],
    })
}

/// How often the service is killed: `make soak` sets the switch.
fn kills() -> usize {
    if std::env::var_os("DSMIL_SOAK").is_some() { 20 } else { 1 }
}

#[test]
fn fifty_runs_finish_after_the_service_was_killed_among_them() {
    let home = Home::new();
    let mut service = Service::start(&home);
    let mut runs: Vec<String> = Vec::new();
    for kill in 0..kills() {
        let first = runs.len();
        runs.extend((first..first + 50).map(|n| service.submit(&document(n))));
        // The kill must fall among the runs: the first one has ended, and others have not.
        service.finished(&runs[first]);
        let is_open = |run: &&String| service.get(&format!("/api/v1/workflows/{run}")).json()["status"] == "running";
        let open = runs[first..].iter().filter(is_open).count();
        assert!(open > 0, "kill {kill} would come too late to prove anything");
        service.kill();
        service = Service::start(&home);
    }
    for (n, run) in runs.iter().enumerate() {
        let shape = service.finished(run);
        assert_eq!(shape["status"], "succeeded", "{shape:#}");
        assert_eq!(shape["results"]["after"], json!({ "n": n }));
        for step in shape["steps"].as_array().expect("steps") {
            assert_eq!(step["status"], "succeeded", "{step:#}");
        }
    }
    check_audit(&home, service, &runs);
}

#[test]
fn a_run_whose_journal_was_damaged_is_named_and_the_others_go_on() {
    let home = Home::new();
    let service = Service::start(&home);
    let runs: Vec<String> = (0..3).map(|n| service.submit(&document(n))).collect();
    let database = Database::on_socket(&home.data().join("postgres/socket"), 5433, "dsmil");
    let damage = format!("UPDATE state.journal SET agent = 'nobody here' WHERE seq = 1 AND run_id = '{}'", runs[1]);
    sql(&database, &damage);
    service.kill();
    let service = Service::start(&home);
    for run in [&runs[0], &runs[2]] {
        assert_eq!(service.finished(run)["status"], "succeeded");
    }
    let log = fs::read_to_string(home.path("serve.log")).expect("a log");
    let told = log.lines().find(|line| line.contains("cannot be taken up")).expect("it is told");
    for word in [runs[1].as_str(), "row 1 of run", "nobody here", "UPDATE ledger.runs"] {
        assert!(told.contains(word), "no `{word}` in {told}");
    }
}

/// The log verifies offline, and tells of each run once: accepted, each of its steps done, finished.
fn check_audit(home: &Home, service: Service, runs: &[String]) {
    let last = service.get(&format!("/api/v1/workflows/{}", runs[runs.len() - 1])).json()["audit_index"].as_u64();
    service.get(&format!("/api/v1/audit/proof/{}", last.expect("audit_index")));
    let entries = service.get("/api/v1/audit/entries?from=0&to=10000").json();
    let mut told: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in entries["entries"].as_array().expect("entries") {
        let (op, subject) =
            (entry["entry"]["op"].as_str().expect("op"), entry["entry"]["subject"].as_str().expect("subject"));
        *told.entry((op.to_owned(), subject.to_owned())).or_default() += 1;
    }
    for run in runs {
        for op in ["run.accepted", "run.finished"] {
            assert_eq!(told.get(&(op.to_owned(), format!("run/{run}"))), Some(&1), "{op} of {run}");
        }
    }
    assert_eq!(service.stop(), 0);
    let vkey = home.data().join("audit/log/vkey");
    let log = home.data().join("audit/log");
    let verdict =
        home.dsmil(&["audit", "verify", "--dir", &log.display().to_string(), "--vkey", &vkey.display().to_string()]);
    assert!(
        verdict.status.success(),
        "{}{}",
        String::from_utf8_lossy(&verdict.stdout),
        String::from_utf8_lossy(&verdict.stderr)
    );
}
