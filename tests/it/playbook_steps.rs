//! Steps that run a playbook: through the whole service, with kill -9 in between.
use std::fs;

use dsmil::ids::RunId;
use serde_json::{Value, json};

use crate::support::service::{Home, Service};
use crate::support::until;

const LOOK: &str = "\
name: look
mode: sequential
inputs: { text: nothing }
steps:
  - { id: say, agent: TESTBED, tool: cp.echo, input: { said: \"${inputs.text}\" } }
";
/// Changes something, and fails if it is told so.
const WRITE: &str = "\
name: write
mode: sequential
inputs: { path: p, text: t, below: sub/x, wait: go }
steps:
  - { id: file, agent: DEPLOYER, tool: fs.write, input: { path: \"${inputs.path}\", content: \"${inputs.text}\" } }
  - { id: held, wait_for: go, timeout: 5m, when: \"inputs.wait != ''\" }
  - { id: more, agent: DEPLOYER, tool: fs.write, input: { path: \"${inputs.below}\", content: more } }
";
const OUTER: &str = "\
name: outer
mode: sequential
inputs: { path: p }
steps:
  - { id: inner, playbook: write, inputs: { path: \"${inputs.path}\", below: \"inner/x\", wait: '' } }
  - { id: last, agent: TESTBED, tool: cp.echo }
";

fn start(home: &Home) -> Service {
    let playbooks = home.path("playbooks");
    if !playbooks.exists() {
        fs::create_dir(&playbooks).expect("mkdir");
        for (name, text) in [("look", LOOK), ("write", WRITE), ("outer", OUTER)] {
            fs::write(playbooks.join(format!("{name}.yaml")), text).expect("write");
        }
    }
    let dir = playbooks.display().to_string();
    Service::start_under(home, &[], &[("DSMIL_AGENTS_PLAYBOOKS_DIR", &dir)])
}

fn document(on_failure: &str, steps: Value) -> Value {
    json!({ "name": "parent", "mode": "sequential", "on_failure": on_failure, "priority": "critical", "steps": steps })
}

fn post(service: &Service, run: &str, what: &str) -> u16 {
    service.post(&format!("/api/v1/workflows/{run}/{what}"), &json!({})).status
}

fn shown(service: &Service, run: &str) -> Value {
    service.get(&format!("/api/v1/workflows/{run}")).json()
}

fn step(run: &Value, id: &str) -> Value {
    let steps = run["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no step {id} in {run:#}")).clone()
}

/// The child that a step is, once it has begun.
fn child(service: &Service, run: &str, id: &str) -> String {
    until("a child", || {
        let step = step(&shown(service, run), id);
        let child = step["attempts"].as_array()?.last()?["workflow_id"].as_str()?.to_owned();
        (service.get(&format!("/api/v1/workflows/{child}")).status == 200).then_some(child)
    })
}

fn when(service: &Service, run: &str, status: &str) -> Value {
    until(&format!("{run} is {status}"), || Some(shown(service, run)).filter(|run| run["status"] == status))
}

fn exists(home: &Home, path: &str) -> bool {
    home.data().join("scratch").join(path).exists()
}

/// How many runs there are of this name.
fn count(service: &Service, name: &str) -> usize {
    let list = service.get(&format!("/api/v1/workflows?name={name}")).json();
    list["workflows"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_parent_of_two_children_ends_with_their_results_and_is_undone_through_them() {
    let home = Home::new();
    let service = start(&home);
    let steps = json!([
        { "id": "look", "playbook": "look", "inputs": { "text": "first" } },
        { "id": "outer", "playbook": "outer", "inputs": { "path": "${steps.look.data.results.say.said}" } },
    ]);
    let submitted = document("keep", steps);
    let dry = service.post("/api/v1/workflows?dry_run=true", &submitted).json();
    assert_eq!(dry["steps"][1]["steps"][0]["steps"][0]["tool"], "fs.write", "{dry:#}");
    let run = service.submit(&submitted);
    let ended = service.finished(&run);
    assert_eq!(ended["status"], "succeeded", "{ended:#}");
    assert!(exists(&home, "first") && exists(&home, "inner/x"));

    let outer = child(&service, &run, "outer");
    let of_outer = shown(&service, &outer);
    assert_eq!(of_outer["parent"], json!({ "workflow_id": run, "step": "outer" }));
    assert_eq!((&of_outer["by"], &of_outer["labels"]["child_of"]), (&ended["by"], &json!(run)));
    assert_eq!(ended["results"]["outer"]["workflow_id"], json!(outer));
    let listed = service.get(&format!("/api/v1/workflows?label=child_of:{run}")).json();
    assert_eq!(listed["workflows"].as_array().map(Vec::len), Some(2), "{listed:#}");
    let inner = child(&service, &outer, "inner");
    assert!(outer.parse::<RunId>().expect("an id").begun().is_some());

    assert_eq!(post(&service, &run, "undo"), 202);
    let undone = service.finished(&run);
    assert_eq!((&undone["status"], &step(&undone, "outer")["status"]), (&json!("rolled_back"), &json!("undone")));
    assert_eq!(step(&undone, "look")["status"], "succeeded", "it changed nothing");
    for run in [&outer, &inner] {
        assert_eq!(shown(&service, run)["status"], "rolled_back");
    }
    assert!(!exists(&home, "first") && !exists(&home, "inner"));
}

#[test]
fn a_child_that_fails_fails_its_parent_which_takes_back_what_it_did() {
    let home = Home::new();
    let service = start(&home);
    let write = |id: &str, path: &str, below: &str| {
        json!({ "id": id, "playbook": "write",
        "inputs": { "path": path, "below": below, "wait": "" } })
    };
    // A file is no folder: the second child fails after it has written one.
    let run = service.submit(&document("rollback", json!([write("a", "a", "a2"), write("b", "b", "b/x")])));
    let ended = service.finished(&run);
    assert_eq!(ended["status"], "rolled_back", "{ended:#}");
    assert_eq!(
        (step(&ended, "a")["status"].as_str(), step(&ended, "b")["status"].as_str()),
        (Some("undone"), Some("failed"))
    );
    assert_eq!(step(&ended, "b")["output"]["reason"]["code"], "child_failed");
    for id in ["a", "b"] {
        assert_eq!(shown(&service, &child(&service, &run, id))["status"], "rolled_back");
    }
    assert!(!exists(&home, "a") && !exists(&home, "b"));

    let faults = service.post("/api/v1/workflows", &document("keep", json!([{ "id": "a", "playbook": "wirte" }])));
    assert_eq!((faults.status, faults.json()["errors"][0]["pointer"].clone()), (422, json!("/steps/0/playbook")));
}

#[test]
fn a_child_is_steered_with_its_parent_over_a_crash_and_is_not_run_twice() {
    let home = Home::new();
    let service = start(&home);
    let steps = json!([
        { "id": "w", "playbook": "write", "inputs": { "path": "w" } },
        { "id": "after", "playbook": "look" },
    ]);
    let run = service.submit(&document("keep", steps.clone()));
    let held = child(&service, &run, "w");
    when(&service, &held, "waiting");
    assert_eq!(post(&service, &run, "pause"), 202);
    assert_eq!(when(&service, &held, "paused")["paused_by"], json!(format!("run:{run}")));
    service.kill();

    let service = start(&home);
    assert_eq!(post(&service, &run, "resume"), 202);
    when(&service, &held, "waiting");
    service.kill();

    let service = start(&home);
    assert_eq!(child(&service, &run, "w"), held);
    assert_eq!(post(&service, &held, "signals/go"), 202);
    let ended = service.finished(&run);
    assert_eq!(ended["status"], "succeeded", "{ended:#}");
    assert_eq!((count(&service, "write"), count(&service, "look")), (1, 1));
    let files = step(&shown(&service, &held), "file");
    assert_eq!(files["attempts"].as_array().map(Vec::len), Some(1));

    // Cancelled with what it changed; a child that runs is ended first, and undone with the rest.
    let run = service.submit(&document("keep", json!([{ "id": "w", "playbook": "write", "inputs": { "path": "c" } }])));
    let held = child(&service, &run, "w");
    when(&service, &held, "waiting");
    assert!(exists(&home, "c"));
    assert_eq!(post(&service, &run, "cancel?undo=true"), 202);
    let ended = service.finished(&run);
    assert_eq!((&ended["status"], &step(&ended, "w")["status"]), (&json!("rolled_back"), &json!("cancelled")));
    assert_eq!(shown(&service, &held)["status"], "rolled_back");
    assert!(!exists(&home, "c"));

    // The time of the step is the time of its child.
    let short = json!([{ "id": "w", "playbook": "write", "inputs": { "path": "t" }, "timeout": "1s" }]);
    let run = service.submit(&document("keep", short));
    let ended = service.finished(&run);
    assert_eq!((&ended["status"], &step(&ended, "w")["status"]), (&json!("failed"), &json!("timed_out")), "{ended:#}");
    assert_eq!(shown(&service, &child(&service, &run, "w"))["status"], "timed_out");
}

/// The service is killed again and again while parents begin their children: each child is run once.
#[test]
fn no_child_is_lost_or_run_twice_when_the_service_is_killed_among_them() {
    let home = Home::new();
    let mut service = start(&home);
    let kills = if std::env::var_os("DSMIL_SOAK").is_some() { 20 } else { 2 };
    let mut runs: Vec<String> = Vec::new();
    for _ in 0..kills {
        let steps = json!([{ "id": "a", "playbook": "look" }, { "id": "nap", "sleep": "300ms" },
            { "id": "b", "playbook": "look", "for_each": [1, 2, 3], "inputs": { "text": "${item}" } }]);
        let submitted = document("keep", steps);
        runs.extend((0..20).map(|_| service.submit(&submitted)));
        service.finished(&runs[runs.len() - 20]);
        service.kill();
        service = start(&home);
    }
    for run in &runs {
        let ended = service.finished(run);
        assert_eq!(ended["status"], "succeeded", "{ended:#}");
        let said: Vec<&Value> = (0..3).map(|n| &ended["results"]["b"][n]["results"]["say"]["said"]).collect();
        assert_eq!(said, [&json!(1), &json!(2), &json!(3)]);
        let children = service.get(&format!("/api/v1/workflows?label=child_of:{run}&limit=100")).json();
        let children = children["workflows"].as_array().expect("a list").clone();
        assert_eq!(children.len(), 4, "{children:#?}");
        assert!(children.iter().all(|child| child["status"] == "succeeded"));
    }
}
