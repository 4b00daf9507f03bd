//! Runs that wait, change the host, and are steered: through the whole service, with kill -9 in between.
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::service::{Home, Service};
use crate::support::until;

fn write(id: &str, path: &str, content: &str) -> Value {
    json!({ "id": id, "agent": "DEPLOYER", "tool": "fs.write", "input": { "path": path, "content": content } })
}

fn echo(id: &str, input: Value) -> Value {
    json!({ "id": id, "agent": "TESTBED", "tool": "cp.echo", "input": input })
}

fn sequence(on_failure: &str, steps: Value) -> Value {
    json!({ "name": "steering", "mode": "sequential", "on_failure": on_failure, "steps": steps })
}

fn post(service: &Service, run: &str, what: &str, body: &Value) -> (u16, Value) {
    let answer = service.post(&format!("/api/v1/workflows/{run}/{what}"), body);
    (answer.status, answer.json())
}

fn shown(service: &Service, run: &str) -> Value {
    service.get(&format!("/api/v1/workflows/{run}")).json()
}

fn step(run: &Value, id: &str) -> Value {
    let steps = run["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no step {id} in {run:#}")).clone()
}

fn when(service: &Service, run: &str, status: &str) -> Value {
    until(&format!("{run} is {status}"), || Some(shown(service, run)).filter(|run| run["status"] == status))
}

fn scratch(home: &Home, path: &str) -> PathBuf {
    home.data().join("scratch").join(path)
}

#[test]
fn a_run_waits_for_people_over_a_crash_and_is_undone_when_one_says_no() {
    let home = Home::new();
    let service = Service::start(&home);
    let first = service.submit(&sequence("keep", json!([write("a", "a.txt", "old")])));
    assert_eq!(service.finished(&first)["status"], "succeeded");
    let mut second = write("b", "dir/b.txt", "two");
    second["approve"] = json!({ "expires": "1h", "reason": "look first" });
    let steps = json!([
        write("a", "a.txt", "new"),
        { "id": "nap", "sleep": "1s" },
        second,
        { "id": "go", "wait_for": "go", "timeout": "10m" },
        echo("c", json!({ "got": "${steps.go.data}" })),
        { "id": "gate", "approve": { "role": "admin" } },
    ]);
    let run = service.submit(&sequence("rollback", steps));
    let waiting = step(&when(&service, &run, "waiting"), "b");
    assert_eq!(
        (&waiting["status"], &waiting["approval"]["reason"]),
        (&json!("waiting_approval"), &json!("look first"))
    );
    assert_eq!(waiting["approval"]["parameters"]["path"], "dir/b.txt");
    assert!(!scratch(&home, "dir/b.txt").exists(), "nothing is changed before it is approved");
    service.kill();

    let service = Service::start(&home);
    let other = json!({ "digest": "00".repeat(32) });
    assert_eq!(post(&service, &run, "steps/b/approve", &other).0, 409, "it is something else that was looked at");
    let digest = waiting["approval"]["digest"].clone();
    assert_eq!(post(&service, &run, "steps/b/approve", &json!({ "digest": digest })).0, 202);
    let held = until("the signal is waited for", || {
        Some(shown(&service, &run)).filter(|run| step(run, "go")["waits_for"]["what"] == "signal")
    });
    assert_eq!(fs::read_to_string(scratch(&home, "dir/b.txt")).expect("a file"), "two");
    assert_eq!(step(&held, "b")["approval"]["decision"]["approved"], true);
    let (status, problem) = post(&service, &run, "signals/nope", &json!(1));
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("`nope`")), "{problem}");
    assert_eq!(post(&service, &run, "signals/go", &json!({ "x": 1 })).0, 202);
    let gate = until("the gate", || {
        Some(shown(&service, &run)).filter(|run| step(run, "gate")["status"] == "waiting_approval")
    });
    assert_eq!(gate["results"]["c"], json!({ "got": { "x": 1 } }));
    let wanted = json!({ "name": "op", "role": "operator", "expires_in": "1h" });
    let operator = service.post("/api/v1/tokens", &wanted).json()["token"].as_str().expect("a token").to_owned();
    let path = format!("/api/v1/workflows/{run}/steps/gate/approve");
    assert_eq!(service.call("POST", &path, Some("{}".to_owned()), Some(&operator)).status, 403, "an admin was asked");
    assert_eq!(post(&service, &run, "steps/gate/approve", &json!({ "approve": false, "comment": "no" })).0, 202);

    let ended = service.finished(&run);
    assert_eq!(ended["status"], "rolled_back", "{ended:#}");
    assert_eq!(
        (step(&ended, "a")["status"].clone(), step(&ended, "b")["status"].clone()),
        ("undone".into(), "undone".into())
    );
    assert_eq!(fs::read_to_string(scratch(&home, "a.txt")).expect("a file"), "old");
    assert!(!scratch(&home, "dir").exists());
    assert_eq!(post(&service, &run, "undo", &json!({})).0, 409);
    let entries = service.get("/api/v1/audit/entries?from=0&to=200").json();
    let ops: Vec<String> = entries["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| &entry["entry"])
        .filter(|entry| entry["subject"].as_str().is_some_and(|subject| subject.contains(&run)))
        .filter_map(|entry| Some(entry["op"].as_str()?.to_owned()))
        .filter(|op| op != "step.done")
        .collect();
    let expected = [
        "run.accepted",
        "step.change",
        "step.approved",
        "step.change",
        "run.signalled",
        "step.refused",
        "run.rollback",
        "step.undone",
        "step.undone",
        "run.finished",
    ];
    assert_eq!(ops, expected);
}

#[test]
fn a_run_that_ended_is_retried_forked_and_undone_also_after_a_restart() {
    let home = Home::new();
    let service = Service::start(&home);
    let broken = json!({ "id": "c", "agent": "DEPLOYER", "tool": "fs.write",
                         "input": { "path": "a.txt/below", "content": "x" } });
    let document = json!({ "name": "again", "mode": "sequential", "inputs": { "text": "one" }, "steps": [
        echo("first", json!({ "x": "${inputs.text}" })), write("a", "a.txt", "x"), broken] });
    let run = service.submit(&document);
    let failed = service.finished(&run);
    assert_eq!((&failed["status"], step(&failed, "c")["status"].clone()), (&json!("failed"), "denied".into()));
    service.stop();

    let service = Service::start(&home);
    assert_eq!(post(&service, &run, "retry", &json!({})).0, 202);
    let failed = service.finished(&run);
    assert_eq!(step(&failed, "c")["attempts"].as_array().map(Vec::len), Some(2), "{failed:#}");
    assert_eq!(step(&failed, "a")["attempts"].as_array().map(Vec::len), Some(1), "what succeeded is not done again");

    let (status, forked) = post(&service, &run, "fork", &json!({ "from": "a", "inputs": { "text": "two" } }));
    assert_eq!(status, 202, "{forked}");
    let fork = service.finished(forked["workflow_id"].as_str().expect("an id"));
    assert_eq!((&fork["labels"]["fork_of"], &fork["results"]["first"]), (&json!(run), &json!({ "x": "one" })));
    let (status, anew) = post(&service, &run, "fork", &json!({ "inputs": { "text": "two" } }));
    assert_eq!(status, 202);
    let anew = service.finished(anew["workflow_id"].as_str().expect("an id"));
    assert_eq!(anew["results"]["first"], json!({ "x": "two" }));
    let (status, faults) = post(&service, &run, "fork", &json!({ "from": "none" }));
    assert_eq!((status, &faults["errors"][0]["pointer"]), (422, &json!("/from")));

    assert_eq!(post(&service, &run, "undo", &json!({})).0, 202);
    let undone = service.finished(&run);
    assert_eq!(undone["status"], "rolled_back", "{undone:#}");
    assert_eq!(post(&service, &run, "retry", &json!({})).0, 409);
    assert_eq!(service.get("/api/v1/workflows?status=running").json()["workflows"], json!([]));
}

#[test]
fn what_others_changed_since_needs_a_person() {
    let home = Home::new();
    let service = Service::start(&home);
    let run = service.submit(&sequence("keep", json!([write("a", "a.txt", "ours")])));
    service.finished(&run);
    fs::write(scratch(&home, "a.txt"), "theirs").expect("write");
    assert_eq!(post(&service, &run, "undo", &json!({})).0, 202);
    let ended = service.finished(&run);
    assert_eq!(ended["status"], "needs_human", "{ended:#}");
    let tries = step(&ended, "a")["undo"].clone();
    assert_eq!(tries.as_array().map(Vec::len), Some(1), "it does not help to try again: {tries:#}");
    assert_eq!(fs::read_to_string(scratch(&home, "a.txt")).expect("a file"), "theirs");
    let firing = |service: &Service| {
        let alerts = service.get("/api/v1/alerts").json()["alerts"].clone();
        let is_it = |alert: &Value| alert["rule"] == "run-needs-person" && alert["state"] == "firing";
        alerts.as_array().is_some_and(|alerts| alerts.iter().any(is_it))
    };
    until("an alert", || firing(&service).then_some(()));
    service.kill();

    let service = Service::start(&home);
    fs::write(scratch(&home, "a.txt"), "ours").expect("write");
    until("the alert of the last start", || firing(&service).then_some(()));
    assert_eq!(post(&service, &run, "undo", &json!({})).0, 202, "the person has mended it");
    assert_eq!(service.finished(&run)["status"], "rolled_back");
    until("the end of the alert", || (!firing(&service)).then_some(()));
}

#[test]
fn a_step_is_done_for_each_item_and_its_changes_are_undone_with_the_rest() {
    let home = Home::new();
    let service = Service::start(&home);
    let mut each = write("w", "${item.path}", "${item.text}");
    each["for_each"] = json!("${inputs.files}");
    each["max_parallel"] = json!(2);
    let files: Vec<Value> = (0..5).map(|n| json!({ "path": format!("f{n}"), "text": format!("t{n}") })).collect();
    let steps = json!([each, echo("all", json!({ "n": "${steps.w.data.size()}" }))]);
    let run =
        service.submit(&json!({ "name": "each", "mode": "sequential", "inputs": { "files": files }, "steps": steps }));
    let ended = service.finished(&run);
    assert_eq!((&ended["status"], &ended["results"]["all"]), (&json!("succeeded"), &json!({ "n": 5 })), "{ended:#}");
    assert_eq!(fs::read_to_string(scratch(&home, "f4")).expect("a file"), "t4");
    assert_eq!(post(&service, &run, "undo", &json!({})).0, 202);
    assert_eq!(service.finished(&run)["status"], "rolled_back");
    assert!((0..5).all(|n| !scratch(&home, &format!("f{n}")).exists()));
}
