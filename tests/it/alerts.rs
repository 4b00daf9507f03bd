//! From a busy host to an alert, its action and the way back, at the real service.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::spawn;
use std::time::Duration;

use chrono::{DateTime, Utc};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::support::burner::{Burner, RULES};
use crate::support::service::{Home, Service};
use crate::support::until;

/// A receiver of alerts: what is posted to it comes out of the channel.
fn receiver() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let (told, posts) = mpsc::channel();
    spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.expect("a connection"));
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            reader.get_mut().write_all(answer.as_bytes()).expect("an answer");
            if told.send(serde_json::from_slice(&body).expect("JSON")).is_err() {
                return;
            }
        }
    });
    (url, posts)
}

fn start(home: &Home, webhook: &str) -> Service {
    let rules = home.write("alerts.toml", RULES);
    let text = format!("[watch]\nalerts_file = {:?}\nwebhook = {webhook:?}\nhold_s = 1\n", rules.display().to_string());
    let config = home.write("config.toml", &text);
    Service::start_with(home, &["--config", &config.display().to_string()])
}

fn alert(service: &Service, rule: &str, state: &str) -> Option<Value> {
    let alerts = service.get("/api/v1/alerts").json();
    let alerts = alerts["alerts"].as_array().expect("alerts").clone();
    alerts.into_iter().find(|alert| alert["rule"] == rule && alert["state"] == state)
}

fn audit_has(service: &Service, op: &str, subject: &str) -> bool {
    let entries = service.get("/api/v1/audit/entries?from=0&to=10000").json();
    let entries = entries["entries"].as_array().expect("entries").clone();
    entries.iter().any(|entry| entry.to_string().contains(op) && entry.to_string().contains(subject))
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no time in {value}"))
}

#[test]
fn a_busy_host_raises_an_alert_whose_action_is_taken_and_taken_back() {
    let (url, posts) = receiver();
    let home = Home::new();
    let service = start(&home, &url);
    let burner = Burner::start();
    let firing = until("firing alert", || alert(&service, "busy", "firing"));
    let late = time(&firing["fired"]) - time(&firing["since"]);
    println!("breach to firing: {} ms (for: 2000 ms)", late.num_milliseconds());
    assert!(late.num_milliseconds() >= 2_000, "{firing}");
    until("reduction on record", || audit_has(&service, "action.taken", "reduce-agent-concurrency").then_some(()));
    assert!(audit_has(&service, "alert.fired", "alert/busy"));
    let id = firing["alert_id"].as_str().expect("an id");
    let acked = service.post(&format!("/api/v1/alerts/{id}/ack"), &json!({ "comment": "I know" }));
    assert_eq!((acked.status, acked.json()["ack"]["comment"].as_str()), (200, Some("I know")), "{}", acked.body);
    drop(burner);
    until("resolved alert", || alert(&service, "busy", "resolved"));
    until("way back", || {
        let log = std::fs::read_to_string(home.path("serve.log")).expect("the log");
        log.contains("agents use 100 % of their places").then_some(())
    });
    let states = || posts.recv_timeout(Duration::from_secs(30)).expect("a post");
    let (first, second) = (states(), states());
    assert_eq!((first["status"].as_str(), second["status"].as_str()), (Some("firing"), Some("resolved")));
    assert_eq!((&first["version"], &first["alerts"][0]["labels"]["alertname"]), (&json!("4"), &json!("busy")));
    let metrics = service.get("/metrics");
    assert!(metrics.body.contains("\ndsmil_host_cpu_ratio ") && metrics.body.contains("dsmil_alert{rule=\"busy\""));
}

#[test]
fn runs_that_are_not_critical_wait_while_an_alert_calls_for_it() {
    let home = Home::new();
    let service = start(&home, "");
    let answer = service.post("/api/v1/alerts/test", &json!({ "firing": true }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    until("pause on record", || audit_has(&service, "action.taken", "pause-non-critical").then_some(()));
    let step = json!([{ "id": "a", "agent": "TESTBED", "tool": "cp.echo" }]);
    let waiting = service.submit(&json!({ "name": "ordinary", "steps": step }));
    let critical = service.submit(&json!({ "name": "urgent", "priority": "critical", "steps": step }));
    assert_eq!(service.finished(&critical)["status"], "succeeded");
    let shown = service.get(&format!("/api/v1/workflows/{waiting}")).json();
    assert_eq!((&shown["status"], &shown["steps"][0]["status"]), (&json!("paused"), &json!("pending")));

    // A restart of the service in the midst of it: the alert is known, and the run goes on once nothing calls any more.
    assert_eq!(service.stop(), 0);
    let service = start(&home, "");
    assert!(until("alert of before", || alert(&service, "drill", "firing"))["fired"].is_string());
    assert_eq!(service.post("/api/v1/alerts/test", &json!({ "firing": false })).status, 200);
    assert_eq!(until("resolution", || alert(&service, "drill", "resolved"))["state"], "resolved");
    let run = until("end of the run", || {
        let run = service.get(&format!("/api/v1/workflows/{waiting}")).json();
        (run["status"] == "succeeded").then_some(run)
    });
    assert_eq!(run["steps"][0]["status"], "succeeded");
}

#[test]
fn a_measure_holds_for_an_engine_that_is_started_anew_and_yields_to_a_person() {
    let home = Home::new();
    let rules = home.write("alerts.toml", RULES).display().to_string();
    let text = format!("[watch]\nalerts_file = {rules:?}\nhold_s = 1\n[drills]\nenabled = true\n");
    let config = home.write("config.toml", &text);
    let service = Service::start_with(&home, &["--config", &config.display().to_string()]);
    assert_eq!(service.post("/api/v1/alerts/test", &json!({ "firing": true })).status, 200);
    until("pause on record", || audit_has(&service, "action.taken", "pause-non-critical").then_some(()));
    let step = json!([{ "id": "a", "agent": "TESTBED", "tool": "cp.echo" }]);
    let held = service.submit(&json!({ "name": "held", "steps": step }));
    let kept = service.submit(&json!({ "name": "kept", "steps": step }));
    assert_eq!(service.post("/api/v1/supervision/orchestrator/drill", &json!({})).status, 202);
    let shown = |run: &str| service.get(&format!("/api/v1/workflows/{run}")).json();
    until("engine", || {
        let tree = service.get("/api/v1/supervision").body;
        let again = tree.contains("orchestrator was told to panic");
        (again && service.get("/readyz").status == 200).then_some(())
    });
    assert_eq!((&shown(&held)["status"], &shown(&held)["paused_by"]), (&json!("paused"), &json!("recovery")));
    let paused = service.post(&format!("/api/v1/workflows/{kept}/pause"), &json!({}));
    assert_eq!(paused.status, 202, "{}", paused.body);
    assert_eq!(service.post("/api/v1/alerts/test", &json!({ "firing": false })).status, 200);
    assert_eq!(service.finished(&held)["status"], "succeeded");
    assert_eq!(shown(&kept)["status"], "paused", "what a person paused stays paused");
    assert_eq!(service.post(&format!("/api/v1/workflows/{kept}/resume"), &json!({})).status, 202);
    assert_eq!(service.finished(&kept)["status"], "succeeded");
}

#[test]
fn alerts_are_posted_and_signed_while_the_database_stands_still() {
    let (url, posts) = receiver();
    let home = Home::new();
    let service = start(&home, &url);
    let database = home.children("postgres");
    assert!(!database.is_empty());
    database.iter().for_each(|pid| kill(*pid, Signal::SIGSTOP).expect("stopped"));
    for firing in [true, false] {
        assert_eq!(service.post("/api/v1/alerts/test", &json!({ "firing": firing })).status, 200);
    }
    let of_the_drill = || loop {
        let post = posts.recv_timeout(Duration::from_secs(30)).expect("a post");
        if post["alerts"][0]["labels"]["alertname"] == "drill" {
            return post["status"].clone();
        }
    };
    assert_eq!([of_the_drill(), of_the_drill()], [json!("firing"), json!("resolved")]);
    database.iter().for_each(|pid| kill(*pid, Signal::SIGCONT).expect("goes on"));
    until("both on record", || {
        (audit_has(&service, "alert.fired", "alert/drill") && audit_has(&service, "alert.resolved", "alert/drill"))
            .then_some(())
    });
}

#[test]
fn looking_at_an_agent_hides_none_of_its_failures() {
    let home = Home::new();
    let config = home.write("config.toml", "[drills]\nenabled = true\n");
    let service = Service::start_with(&home, &["--config", &config.display().to_string()]);
    let agent = || service.get("/api/v1/agents/TESTBED").json();
    for failure in 1..=5 {
        let told = service.post("/api/v1/agents/TESTBED/drill", &json!({ "fault": "fail" }));
        assert_eq!(told.status, 202, "{}", told.body);
        let step = json!([{ "id": "a", "agent": "TESTBED", "tool": "cp.echo" }]);
        let run = service.submit(&json!({ "name": "fails", "steps": step }));
        assert_eq!(service.finished(&run)["status"], "failed");
        // Each look is a request to the agent.
        let state = agent()["state"].clone();
        assert!(failure == 5 || state == "up", "{state} after {failure}");
    }
    until("breaker", || (agent()["state"] == "open").then_some(()));
}

#[test]
fn a_person_pauses_and_resumes_a_run() {
    let home = Home::new();
    let service = Service::start(&home);
    // it is open for two seconds at least
    let read =
        |n: usize| json!({ "id": format!("s{n}"), "agent": "PACER", "tool": "load.read", "input": { "window_s": 1 } });
    let burst: Vec<Value> = (0..3).map(read).collect();
    let run = service.submit(&json!({ "name": "long", "mode": "sequential", "steps": burst }));
    let paused = service.post(&format!("/api/v1/workflows/{run}/pause"), &json!({}));
    assert_eq!((paused.status, paused.json()["status"].as_str()), (202, Some("paused")), "{}", paused.body);
    let again = service.post(&format!("/api/v1/workflows/{run}/pause"), &json!({}));
    assert_eq!(again.status, 409, "{}", again.body);
    assert!(again.body.contains("is paused by token:"), "{}", again.body);
    assert_eq!(service.post(&format!("/api/v1/workflows/{run}/resume"), &json!({})).status, 202);
    assert_eq!(service.finished(&run)["status"], "succeeded");
    assert!(audit_has(&service, "run.paused", &run) && audit_has(&service, "run.resumed", &run));
}

#[test]
fn faulty_rules_end_the_start_with_every_fault() {
    let home = Home::new();
    let rules = home.write(
        "bad.toml",
        "[[rule]]\nname = \"a\"\nmetric = \"host.cpu_rato\"\nabove = 1\nseverity = \"info\"\nsummary = \"x\"\n",
    );
    let config = home.write("config.toml", &format!("[watch]\nalerts_file = {:?}\n", rules.display().to_string()));
    let ended = home.dsmil(&["--config", &config.display().to_string(), "serve", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && said.contains("bad.toml") && said.contains("is `host.cpu_ratio` meant?"),
        "{said}"
    );
}
