//! Bad input and broken surroundings: each gets a message that says what to do, and nothing accepted is lost.
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dsmil::clock;
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::support::service::{Home, Service};

/// `dsmil serve` must fail by itself, with these words.
fn check_refusal(home: &Home, args: &[&str], words: &[&str]) {
    let mut all = vec!["serve"];
    all.extend(args);
    let ended = home.dsmil(&all);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success(), "it should not have started: {said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address").to_string();
    check_refusal(&Home::new(), &["--listen", &address], &[&address, "in use", "--listen"]);
}

#[test]
fn an_address_that_others_can_reach_is_refused_without_tls() {
    check_refusal(&Home::new(), &["--listen", "0.0.0.0:0"], &["0.0.0.0", "loopback"]);
}

#[test]
fn a_data_directory_of_another_version_is_left_alone() {
    let home = Home::new();
    home.fill(&[("VERSION", "99\n")]);
    check_refusal(&home, &["--listen", "127.0.0.1:0"], &["99", "layout", "--data-dir"]);
    assert_eq!(fs::read_dir(home.data()).expect("list").count(), 1, "nothing was added");
}

#[test]
fn a_directory_with_foreign_files_is_left_alone() {
    let home = Home::new();
    home.fill(&[("thesis.tex", "x")]);
    check_refusal(&home, &["--listen", "127.0.0.1:0"], &[&home.data().display().to_string()]);
}

#[test]
fn a_second_service_on_one_data_directory_is_refused() {
    let home = Home::new();
    let service = Service::start(&home);
    let pid = service.pid().to_string();
    check_refusal(&home, &["--listen", "127.0.0.1:0"], &[&pid]);
    assert_eq!(service.get("/api/v1/agents").status, 200, "the first one goes on");
}

#[test]
fn without_swtpm_the_message_says_what_to_install() {
    let home = Home::new();
    let ended = home.command(&["serve", "--listen", "127.0.0.1:0"]).env("PATH", "/nonexistent").output().expect("run");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("swtpm") && said.contains("apt-get install"), "{said}");
}

#[test]
fn an_unknown_setting_is_named_with_the_nearest_right_one() {
    let home = Home::new();
    let config = home.write("bad.toml", "[web]\nlisen = \"127.0.0.1:1\"\n");
    check_refusal(&home, &["--config", &config.display().to_string()], &["lisen", "listen", "bad.toml"]);
}

#[test]
fn requests_without_the_right_token_are_refused() {
    let home = Home::new();
    let service = Service::start(&home);
    for token in [None, Some("wrong"), Some("")] {
        let answer = service.call("GET", "/api/v1/agents", None, token);
        assert_eq!(answer.status, 401, "{token:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.header("www-authenticate").is_some());
    }
    for open in ["/livez", "/readyz", "/api/v1/audit/vkey", "/api/v1/audit/checkpoint"] {
        assert_eq!(service.call("GET", open, None, None).status, 200, "{open}");
    }
    assert_eq!(
        home.command(&["agents", "list"]).env("DSMIL_TOKEN", "wrong").output().expect("run").status.code(),
        Some(4)
    );
}

#[test]
fn a_malformed_workflow_gets_all_its_faults_at_once_and_stores_nothing() {
    let home = Home::new();
    let service = Service::start(&home);
    let document = json!({
        "name": "bad", "mode": "dag", "colour": "red",
        "steps": [
            { "id": "a", "agent": "PACR", "tool": "load.read" },
            { "id": "b", "agent": "PACER", "tool": "load.reed", "needs": ["zz"] },
            { "id": "b", "agent": "PACER", "tool": "fs.manifest" },
        ],
    });
    let answer = service.post("/api/v1/workflows", &document);
    assert_eq!(answer.status, 422, "{}", answer.body);
    let problem = answer.json();
    let faults = problem["errors"].as_array().expect("errors");
    let at = |pointer: &str, word: &str| {
        faults.iter().any(|f| {
            f["pointer"].as_str().is_some_and(|p| p.starts_with(pointer)) && f["detail"].to_string().contains(word)
        })
    };
    for (pointer, word) in [
        ("/colour", "colour"),
        ("/steps/0/agent", "PACER"),
        ("/steps/1/tool", "load.read"),
        ("/steps/1/needs", "zz"),
        ("/steps/2", "b"),
        ("/steps/2/tool", "fs.manifest"),
    ] {
        assert!(at(pointer, word), "no fault at {pointer} that names {word}: {problem:#}");
    }
    assert_eq!(service.get("/api/v1/workflows").json()["workflows"], json!([]));
    let broken = service.call("POST", "/api/v1/workflows", Some("{\"name\": ".to_owned()), Some(&service.token));
    assert_eq!(broken.status, 400, "{}", broken.body);
}

fn echo() -> Value {
    json!({ "name": "echo", "steps": [{ "id": "e", "agent": "TESTBED", "tool": "cp.echo", "input": { "x": 1 } }] })
}

/// Repeats a submission until it is accepted; what is refused meanwhile must say when to come back.
fn submit_when_back(service: &Service) -> String {
    let give_up = clock::now() + Duration::from_secs(60);
    loop {
        let answer = service.post("/api/v1/workflows", &echo());
        if answer.status == 202 {
            return answer.json()["workflow_id"].as_str().expect("id").to_owned();
        }
        assert!([503, 504].contains(&answer.status), "{} {}", answer.status, answer.body);
        assert!(answer.status != 503 || answer.header("retry-after").is_some(), "{}", answer.body);
        assert!(clock::now() < give_up, "the service does not come back: {}", answer.body);
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn a_database_that_dies_is_restarted_and_loses_nothing() {
    let home = Home::new();
    let service = Service::start(&home);
    let before = service.submit(&echo());
    service.finished(&before);
    let before_kill = home.children("postgres");
    for pid in &before_kill {
        kill(*pid, Signal::SIGKILL).expect("kill postgres");
    }
    let after = submit_when_back(&service);
    assert_eq!(service.finished(&after)["status"], "succeeded");
    assert_eq!(service.finished(&before)["status"], "succeeded", "what was accepted before is still there");
}

#[test]
fn a_tpm_that_dies_is_restarted_and_the_log_goes_on() {
    let home = Home::new();
    let service = Service::start(&home);
    let first = service.submit(&echo());
    service.finished(&first);
    let emulators = home.children("swtpm");
    assert_eq!(emulators.len(), 1, "the service runs one emulator");
    kill(emulators[0], Signal::SIGKILL).expect("kill swtpm");
    let second = service.submit(&echo());
    let index = service.finished(&second)["audit_index"].as_u64().expect("audit_index");
    let give_up = clock::now() + Duration::from_secs(60);
    // The proof is there once a head that covers the entry is signed by the TPM that came back.
    while service.get(&format!("/api/v1/audit/proof/{index}")).status != 200 {
        assert!(clock::now() < give_up, "no signed head covers entry {index}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let home = Home::new();
    fs::create_dir_all(home.data()).expect("mkdir");
    fs::set_permissions(home.data(), fs::Permissions::from_mode(0o500)).expect("chmod");
    if nix::unistd::geteuid().is_root() {
        // Root may write anywhere: a file in the way is the nearest thing.
        fs::remove_dir(home.data()).expect("rmdir");
        fs::write(home.data(), "x").expect("write");
    }
    check_refusal(&home, &["--listen", "127.0.0.1:0"], &[&home.data().display().to_string()]);
}
