//! The main job as an operator does it: one command, a verdict, a record that others can verify.
use serde_json::Value;

use crate::support::service::{Home, Service};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn up_once_runs_the_baseline_and_says_what_it_found() {
    let home = Home::new();
    let up = home.command(&["--no-color", "up", "--once"]).output().expect("run dsmil up");
    let (out, err) = (text(&up.stdout), text(&up.stderr));
    assert!(up.status.success(), "{}\n{out}\n{err}", up.status);
    for expected in ["host-baseline", "succeeded", "Coverage", "learn.stats", "emulator", "verified", "artifacts"] {
        assert!(out.contains(expected), "`{expected}` is missing in:\n{out}");
    }
    let token = std::fs::read_to_string(home.data().join("admin.token")).expect("token");
    assert!(!out.contains(token.trim()) && !err.contains(token.trim()), "the token must not be printed");
    assert!(!home.data().join("run/service.json").exists(), "--once stops the service");
}

#[test]
fn all_eighty_agents_are_up_in_the_tree() {
    let home = Home::new();
    let service = Service::start(&home);
    let tree = service.get("/api/v1/supervision").json();
    let mut agents = Vec::new();
    collect(&tree, "agents", false, &mut agents);
    assert_eq!(agents.len(), 80, "{tree:#}");
    assert!(agents.iter().all(|agent| agent["state"] == "up"), "{agents:#?}");

    let list = service.get("/api/v1/agents").json();
    assert_eq!(list["agents"].as_array().map(Vec::len), Some(80));
    let shown = text(&home.dsmil(&["supervision"]).stdout);
    assert!(shown.contains("PACER") && shown.contains("signer"), "{shown}");
    assert_eq!(service.stop(), 0);
}

/// The leaves below the supervisor `name`.
fn collect<'a>(node: &'a Value, name: &str, inside: bool, found: &mut Vec<&'a Value>) {
    let inside = inside || node["name"] == name;
    let children = node["children"].as_array().map(Vec::as_slice).unwrap_or_default();
    if children.is_empty() && inside && node["kind"] == "worker" {
        found.push(node);
    }
    for child in children {
        collect(child, name, inside, found);
    }
}

#[test]
fn a_panic_in_one_agent_leaves_the_others_serving_and_is_on_record() {
    let home = Home::new();
    let config = home.write("drills.toml", "[drills]\nenabled = true\n");
    let service = Service::start_with(&home, &["--config", &config.display().to_string()]);
    let told = service.post("/api/v1/agents/TESTBED/drill", &serde_json::json!({ "fault": "panic" }));
    assert_eq!(told.status, 202, "{}", told.body);

    let echo = |agent: &str| serde_json::json!({ "name": "echo", "steps": [{ "id": "e", "agent": agent, "tool": "cp.echo", "input": { "x": 1 } }] });
    let run = service.submit(&echo("ORCHESTRATOR"));
    assert_eq!(service.finished(&run)["status"], "succeeded", "the others serve");
    // The agent that crashed serves again after its back-off: the step waits for it.
    let run = service.submit(&echo("TESTBED"));
    assert_eq!(service.finished(&run)["status"], "succeeded", "the agent is back");

    let tree = service.get("/api/v1/supervision").json();
    let mut agents = Vec::new();
    collect(&tree, "agents", false, &mut agents);
    let crashed: Vec<_> = agents.iter().filter(|agent| agent["restarts"].as_u64() > Some(0)).collect();
    assert_eq!(crashed.len(), 1, "{crashed:#?}");
    assert_eq!(crashed[0]["name"], "TESTBED");
    assert!(crashed[0]["last_exit"].as_str().is_some_and(|exit| exit.contains("panic")), "{:#}", crashed[0]);

    let entries = service.get("/api/v1/audit/entries?from=0&to=10000").json();
    let recorded = entries["entries"].as_array().expect("entries").iter().any(|entry| {
        entry["entry"]["op"] == "child.exited"
            && entry["entry"]["subject"].as_str().is_some_and(|s| s.contains("TESTBED"))
    });
    assert!(recorded, "{entries:#}");
}
