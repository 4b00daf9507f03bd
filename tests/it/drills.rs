//! Faults on purpose at the real service: refused unless allowed, on record with who ordered them, and shown.
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::support::service::{Home, Service};
use crate::support::until;

fn drilled(home: &Home) -> Service {
    let config = home.write("config.toml", "[drills]\nenabled = true\n");
    Service::start_with(home, &["--config", &config.display().to_string()])
}

/// The entries of the log with this `op`, in their order; each with its index.
fn entries(service: &Service, op: &str) -> Vec<Value> {
    let all = service.get("/api/v1/audit/entries?from=0&to=10000").json();
    let all = all["entries"].as_array().unwrap_or_else(|| panic!("no entries: {all}")).clone();
    all.into_iter().filter(|entry| entry["entry"]["op"] == op).collect()
}

fn echo(service: &Service, agent: &str) -> Value {
    let step = json!([{ "id": "e", "agent": agent, "tool": "cp.echo" }]);
    let run = service.submit(&json!({ "name": "echo", "steps": step }));
    service.finished(&run)
}

#[test]
fn drills_are_refused_unless_the_configuration_allows_them() {
    let home = Home::new();
    let service = Service::start(&home);
    for (path, body) in [
        ("/api/v1/agents/TESTBED/drill", json!({ "fault": "panic" })),
        ("/api/v1/supervision/signer/drill", json!({ "fault": "stall", "ms": 1 })),
    ] {
        let answer = service.post(path, &body);
        assert!(answer.status == 404 && answer.body.contains("drills.enabled"), "{}: {}", answer.status, answer.body);
    }
    let told = home.dsmil(&["agents", "drill", "TESTBED", "panic"]);
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(!told.status.success() && said.contains("drills.enabled"), "{said}");
    assert_eq!(entries(&service, "drill.injected"), [Value::Null; 0]);
}

#[test]
fn each_fault_is_on_record_before_it_is_shown() {
    let home = Home::new();
    let service = drilled(&home);
    let state = || service.get("/api/v1/agents/TESTBED").json();

    let told = service.post("/api/v1/agents/TESTBED/drill", &json!({ "fault": "fail", "calls": 2 }));
    assert_eq!((told.status, told.json()["fault"].as_str()), (202, Some("fail")), "{}", told.body);
    for _ in 0..2 {
        let run = echo(&service, "TESTBED");
        assert!(run["status"] == "failed" && run.to_string().contains("told to fail"), "{run:#}");
    }
    assert_eq!(echo(&service, "TESTBED")["status"], "succeeded");

    let told = service.post("/api/v1/agents/TESTBED/drill", &json!({ "fault": "slow", "ms": 300 }));
    assert_eq!(told.status, 202, "{}", told.body);
    let run = echo(&service, "TESTBED");
    assert_eq!(run["status"], "succeeded", "{run:#}");

    let answer = service.call("POST", "/api/v1/supervision/TESTBED/drill", None, Some(&service.token));
    assert_eq!(answer.status, 202, "{}", answer.body);
    let crashed = until("crash", || Some(state()).filter(|agent| agent["restarts"] == 1 && agent["state"] == "up"));
    assert!(crashed["last_exit"].as_str().is_some_and(|exit| exit.contains("told to panic")), "{crashed:#}");

    // longer than an agent may hold its thread
    let done = home.dsmil(&["supervision", "drill", "TESTBED", "stall", "--for", "12s"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(String::from_utf8_lossy(&done.stdout), "TESTBED was told to fail\n");
    let stalled =
        until("end of the stall", || Some(state()).filter(|agent| agent["restarts"] == 2 && agent["state"] == "up"));
    assert!(stalled["last_exit"].as_str().is_some_and(|exit| exit.contains("held its thread")), "{stalled:#}");
    assert_eq!(echo(&service, "TESTBED")["status"], "succeeded");

    for bad in
        [json!({ "fault": "stall", "ms": 60_001 }), json!({ "fault": "fail", "calls": 0 }), json!({ "fault": "x" })]
    {
        assert_eq!(service.post("/api/v1/agents/TESTBED/drill", &bad).status, 400, "{bad}");
    }
    let injected = entries(&service, "drill.injected");
    let lines: Vec<(&str, &str)> = injected
        .iter()
        .map(|entry| (&entry["entry"]["subject"], &entry["entry"]["detail"]))
        .map(|(subject, detail)| (subject.as_str().expect("a text"), detail.as_str().expect("a text")))
        .collect();
    let faults = ["fail, 2 calls", "slow by 300ms, 1 calls", "panic", "stall of 12s"];
    assert_eq!(lines, faults.map(|fault| ("child/TESTBED", fault)));
    assert!(injected.iter().all(|entry| entry["entry"]["actor"] == "token:admin"), "{injected:#?}");
    let exited = until("record of the ends", || Some(entries(&service, "child.exited")).filter(|all| all.len() >= 2));
    assert!(injected[2]["index"].as_u64() < exited[0]["index"].as_u64(), "ordered, then shown");
}

#[test]
fn an_agent_is_withdrawn_by_the_rules_of_its_profile() {
    let home = Home::new();
    let agents = home.path("agents");
    std::fs::create_dir(&agents).expect("mkdir");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/agents");
    for file in std::fs::read_dir(shipped).expect("the shipped agents") {
        let file = file.expect("a file");
        let mut text = std::fs::read_to_string(file.path()).expect("text");
        if file.file_name() == "testbed.md" {
            text = text.replacen("  group:", "  breaker: { in_a_row: 1, open_for: 50m }\n  group:", 1);
        }
        std::fs::write(agents.join(file.file_name()), text).expect("written");
    }
    let config = format!("[drills]\nenabled = true\n[agents]\ndir = {:?}\n", agents.display().to_string());
    let config = home.write("config.toml", &config);
    let service = Service::start_with(&home, &["--config", &config.display().to_string()]);
    assert_eq!(service.post("/api/v1/agents/TESTBED/drill", &json!({ "fault": "fail" })).status, 202);
    assert_eq!(echo(&service, "TESTBED")["status"], "failed");
    let open = until("breaker", || {
        Some(service.get("/api/v1/agents/TESTBED").json()).filter(|agent| agent["state"] == "open")
    });
    assert_eq!(open["breaker_rules"]["open_for_ms"], 3_000_000);
    assert!(open["breaker"]["retry_after_s"].as_f64().is_some_and(|left| left > 2_900.0), "{open:#}");
}

#[test]
fn an_operators_restart_is_on_record_as_such_also_when_the_database_has_just_gone() {
    let home = Home::new();
    let service = Service::start(&home);
    assert_eq!(service.post("/api/v1/agents/TESTBED/restart", &json!({})).status, 202);
    let agent = until("restart", || {
        let agent = service.get("/api/v1/agents/TESTBED").json();
        (agent["restarts"] == 1 && agent["state"] == "up").then_some(agent)
    });
    assert_eq!(agent["last_exit"], "restarted by an operator");
    let ordered = entries(&service, "child.restart_ordered");
    assert_eq!(ordered.len(), 1, "{ordered:#?}");
    let entry = &ordered[0]["entry"];
    assert_eq!((entry["actor"].as_str(), entry["subject"].as_str()), (Some("token:admin"), Some("child/TESTBED")));
    assert_eq!(entries(&service, "child.exited"), [Value::Null; 0], "it did not fail");

    for pid in home.children("postgres") {
        // a backend may have gone with its postmaster already
        if let Err(error) = kill(pid, Signal::SIGKILL) {
            assert_eq!(error, nix::errno::Errno::ESRCH);
        }
    }
    assert_eq!(service.post("/api/v1/agents/PACER/restart", &json!({})).status, 202);
    until("restart without a database", || {
        let agent = service.get("/api/v1/agents/PACER").json();
        (agent["restarts"] == 1 && agent["state"] == "up").then_some(())
    });
    until("record of the restart", || {
        let there = service.get("/api/v1/audit/entries?from=0&to=10000").status == 200;
        (there && entries(&service, "child.restart_ordered").len() >= 2).then_some(())
    });
}
