//! Tokens, roles and sessions at the real service.
use std::fs;
use std::time::Duration;

use dsmil::clock;
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::support::service::{Home, Service};

fn create(service: &Service, by: &str, name: &str, role: &str) -> Value {
    let body = json!({ "name": name, "role": role, "expires_in": "1d" }).to_string();
    let answer = service.call("POST", "/api/v1/tokens", Some(body), Some(by));
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// The `name=value` of the cookie that the answer sets.
fn sign_in(service: &Service, token: &str) -> String {
    let body = json!({ "token": token }).to_string();
    let answer = service.call_with("POST", "/api/v1/sessions", Some(body), &[&format!("Origin: {}", service.url)]);
    assert_eq!(answer.status, 204, "{}", answer.body);
    let cookie = answer.header("set-cookie").expect("a cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(cookie.contains(part), "no {part} in {cookie}");
    }
    format!("Cookie: {}", cookie.split(';').next().expect("a cookie"))
}

#[test]
fn the_first_admin_token_ends_the_bootstrap_token_for_ever() {
    let home = Home::new();
    let service = Service::start(&home);
    let file = home.data().join("admin.token");
    let viewer = create(&service, &service.token, "reader", "viewer");
    assert!(file.exists(), "a viewer is no administrator");
    let admin = create(&service, &service.token, "chief", "admin");
    let admin = text(&admin, "token").to_owned();
    assert_eq!(service.call("GET", "/api/v1/tokens", None, Some(&service.token)).status, 401);
    let give_up = clock::now() + Duration::from_secs(60);
    while file.exists() {
        assert!(clock::now() < give_up, "admin.token is still there");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let list = service.call("GET", "/api/v1/tokens", None, Some(&admin)).json();
    let names: Vec<_> = list["tokens"].as_array().expect("tokens").iter().map(|token| text(token, "name")).collect();
    assert_eq!(names, ["reader", "chief"]);
    assert_eq!(list.get("next"), Some(&Value::Null), "a list says that there is no more of it");
    assert!(!list.to_string().contains(&admin), "a secret is listed");

    // The last administrator stays, so that nobody is shut out by mistake.
    let id = text(&list["tokens"][1], "token_id").to_owned();
    assert_eq!(service.call("DELETE", &format!("/api/v1/tokens/{id}"), None, Some(&admin)).status, 409);

    assert_eq!(service.stop(), 0);
    let service = Service::start(&home);
    assert!(!file.exists(), "the next start makes no bootstrap token beside an administrator");
    assert_eq!(service.call("GET", "/api/v1/tokens", None, Some(&admin)).status, 200);
    assert_eq!(service.call("GET", "/api/v1/tokens", None, Some(text(&viewer, "token"))).status, 403);

    let log = fs::read_to_string(home.path("serve.log")).expect("the log");
    let audit = service.call("GET", "/api/v1/audit/entries?from=0&to=1000", None, Some(&admin)).body;
    for place in [&log, &audit] {
        assert!(!place.contains(&admin), "a secret was written down");
    }
    assert!(audit.contains("token.created") && audit.contains(&format!("token/{id}")), "{audit}");
}

#[test]
fn of_two_administrators_who_revoke_each_other_at_once_one_stays() {
    let home = Home::new();
    let service = Service::start(&home);
    let mut one = create(&service, &service.token, "one", "admin");
    for _ in 0..5 {
        let other = create(&service, text(&one, "token"), "other", "admin");
        let revoke = |who: &Value, by: &Value| {
            let path = format!("/api/v1/tokens/{}", text(who, "token_id"));
            service.call("DELETE", &path, None, Some(text(by, "token"))).status
        };
        let (mine, yours) = std::thread::scope(|scope| {
            let mine = scope.spawn(|| revoke(&other, &one));
            let yours = revoke(&one, &other);
            (mine.join().expect("asked"), yours)
        });
        let statuses = [mine, yours];
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 401, 409].contains(status)), "{statuses:?}");
        if yours == 200 {
            one = other;
        }
        assert_eq!(service.call("GET", "/api/v1/tokens", None, Some(text(&one, "token"))).status, 200);
    }
}

#[test]
fn a_revoked_token_and_its_session_are_refused_at_once_and_after_a_restart() {
    let home = Home::new();
    let service = Service::start(&home);
    let made = create(&service, &service.token, "ops", "operator");
    let (id, token) = (text(&made, "token_id").to_owned(), text(&made, "token").to_owned());
    let cookie = sign_in(&service, &token);
    let who = service.call_with("GET", "/api/v1/sessions/current", None, &[&cookie]).json();
    assert_eq!((text(&who, "token_id"), text(&who, "role")), (id.as_str(), "operator"));

    // Through a cookie only our own pages change something.
    let run = json!({ "agents": ["PACER"] }).to_string();
    let own = format!("Origin: {}", service.url);
    for (origin, status) in [("Origin: http://evil.example", 403), ("Accept: */*", 403), (own.as_str(), 202)] {
        let answer = service.call_with("POST", "/api/v1/workflows", Some(run.clone()), &[&cookie, origin]);
        assert_eq!(answer.status, status, "{origin}: {}", answer.body);
    }

    let answer = service.call("DELETE", &format!("/api/v1/tokens/{id}"), None, Some(&service.token));
    assert_eq!((answer.status, answer.json()["revoked"].as_bool()), (200, Some(true)));
    assert_eq!(service.call("GET", "/api/v1/agents", None, Some(&token)).status, 401);
    assert_eq!(service.call_with("GET", "/api/v1/agents", None, &[&cookie]).status, 401);
    assert_eq!(service.stop(), 0);
    let service = Service::start(&home);
    assert_eq!(service.call("GET", "/api/v1/agents", None, Some(&token)).status, 401);
}

#[test]
fn a_browser_signs_in_and_out() {
    let home = Home::new();
    let service = Service::start(&home);
    let cookie = sign_in(&service, &service.token);
    assert_eq!(service.call_with("GET", "/api/v1/agents", None, &[&cookie]).status, 200);
    assert_eq!(service.call_with("DELETE", "/api/v1/sessions", None, &[&cookie]).status, 204);
    assert_eq!(service.call_with("GET", "/api/v1/agents", None, &[&cookie]).status, 401);
    let wrong = service.call("POST", "/api/v1/sessions", Some(json!({ "token": "no" }).to_string()), None);
    assert_eq!((wrong.status, wrong.header("content-type")), (401, Some("application/problem+json")));
    let body = json!({ "token": service.token }).to_string();
    let foreign = service.call_with("POST", "/api/v1/sessions", Some(body), &["Origin: http://evil.example"]);
    assert_eq!(foreign.status, 403);
}

#[test]
fn who_was_admitted_is_admitted_while_the_database_is_away() {
    let home = Home::new();
    let service = Service::start(&home);
    let made = create(&service, &service.token, "reader", "viewer");
    let postgres = home.children("postgres");
    assert!(!postgres.is_empty(), "no server of this test is found");
    postgres.iter().for_each(|pid| kill(*pid, Signal::SIGSTOP).expect("stop"));
    let tree = service.call("GET", "/api/v1/supervision", None, Some(text(&made, "token")));
    let refused = service.call("GET", "/api/v1/supervision", None, Some("dsmil_000000000000_x"));
    postgres.iter().for_each(|pid| kill(*pid, Signal::SIGCONT).expect("continue"));
    assert_eq!((tree.status, refused.status), (200, 401));
}

#[test]
fn the_command_line_makes_lists_and_revokes_tokens() {
    let home = Home::new();
    let service = Service::start(&home);
    let run = |args: &[&str]| {
        let output = home.command(args).env("DSMIL_URL", &service.url).output().expect("run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, operator, said) = run(&["token", "create", "ci", "--role", "operator", "--expires", "30d"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(operator.starts_with("dsmil_"), "{operator}");
    let asked = home.command(&["token", "list"]).env("DSMIL_TOKEN", &operator).output().expect("run");
    assert_eq!(asked.status.code(), Some(4), "an operator lists no tokens");
    let (code, ..) = run(&["token", "create", "chief", "--role", "admin", "--save"]);
    assert_eq!((code, home.data().join("cli.token").exists()), (Some(0), true));
    // The saved token is found without being told.
    let (code, list, said) = run(&["token", "list"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(list.contains("ci") && list.contains("chief") && !list.contains(&operator), "{list}");
    let id = list.lines().find(|line| line.ends_with("ci")).and_then(|line| line.split(' ').next()).expect("a line");
    assert_eq!(run(&["token", "revoke", id]).0, Some(0));
    assert_eq!(run(&["token", "revoke", "0123456789ab"]).0, Some(1));
    assert_eq!(run(&["token", "create", "x", "--role", "root"]).0, Some(2));
}
