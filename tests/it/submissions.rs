//! Submissions that are sent again, and lists of runs by all that they can be found by.
use serde_json::{Value, json};

use crate::support::service::{Answer, Home, Service};

fn echo(n: u32) -> Value {
    json!({ "name": "echo", "steps": [{ "id": "e", "agent": "TESTBED", "tool": "cp.echo", "input": { "n": n } }] })
}

fn submit(service: &Service, token: &str, key: &str, document: &Value) -> Answer {
    let (bearer, key) = (format!("Authorization: Bearer {token}"), format!("Idempotency-Key: {key}"));
    service.call_with("POST", "/api/v1/workflows", Some(document.to_string()), &[&bearer, &key])
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["workflow_id"].as_str().expect("an id").to_owned()
}

fn count(service: &Service) -> usize {
    service.get("/api/v1/workflows?limit=500").json()["workflows"].as_array().expect("runs").len()
}

#[test]
fn one_key_starts_one_run_also_over_a_crash() {
    let home = Home::new();
    let service = Service::start(&home);
    let admin = service.token.clone();
    let first = id(&submit(&service, &admin, "k-1", &echo(1)));
    let again = submit(&service, &admin, "k-1", &echo(1));
    assert_eq!((id(&again), again.header("idempotent-replayed")), (first.clone(), Some("true")));
    let reused = submit(&service, &admin, "k-1", &echo(2));
    assert_eq!(reused.status, 422, "{}", reused.body);
    assert!(reused.body.contains(&first), "it says which run has the key: {}", reused.body);
    let wanted = json!({ "name": "op", "role": "operator", "expires_in": "1h" });
    let operator = service.post("/api/v1/tokens", &wanted).json()["token"].as_str().expect("a token").to_owned();
    let others = id(&submit(&service, &operator, "k-1", &echo(2)));
    assert_ne!(others, first, "the keys of another principal are others");
    assert_eq!(submit(&service, &admin, &"k".repeat(256), &echo(1)).status, 400);
    service.kill();

    let service = Service::start(&home);
    assert_eq!(id(&submit(&service, &admin, "k-1", &echo(1))), first);
    assert_eq!(submit(&service, &admin, "k-1", &echo(2)).status, 422);
    assert_eq!(count(&service), 2);
}

#[test]
fn many_who_send_the_same_at_once_get_the_same_run() {
    let home = Home::new();
    let service = Service::start(&home);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16).map(|_| scope.spawn(|| submit(&service, &service.token, "one", &echo(7)))).collect();
        all.into_iter().map(|one| one.join().expect("it answers")).collect()
    });
    let mut runs: Vec<String> = Vec::new();
    for answer in &answers {
        match answer.status {
            202 => runs.push(id(answer)),
            409 => assert!(answer.header("retry-after").is_some(), "in flight: {}", answer.body),
            other => panic!("{other}: {}", answer.body),
        }
    }
    runs.dedup();
    assert_eq!((runs.len(), count(&service)), (1, 1));
}

#[test]
fn runs_are_found_by_agent_label_time_state_and_name() {
    let home = Home::new();
    let service = Service::start(&home);
    let run = |name: &str, agent: &str, label: &str| {
        let labels = json!({ "team": label, "site": "x" });
        let step = json!({ "id": "e", "agent": agent, "tool": "cp.echo" });
        let run = service.submit(&json!({ "name": name, "labels": labels, "steps": [step] }));
        service.finished(&run);
        run
    };
    let a = run("a", "TESTBED", "red");
    let b = run("b", "ORCHESTRATOR", "red");
    let c = run("a", "TESTBED", "blue");
    let accepted =
        service.get(&format!("/api/v1/workflows/{b}")).json()["accepted"].as_str().expect("a time").to_owned();
    let found = |query: &str| -> Vec<String> {
        let answer = service.get(&format!("/api/v1/workflows?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let page = answer.json();
        let runs = page["workflows"].as_array().expect("runs");
        runs.iter().map(|run| run["workflow_id"].as_str().expect("an id").to_owned()).collect()
    };
    for (query, expected) in [
        ("agent=TESTBED".to_owned(), vec![&c, &a]),
        ("label=team:red".to_owned(), vec![&b, &a]),
        ("label=team:red&label=site:x&agent=TESTBED".to_owned(), vec![&a]),
        ("label=team:green".to_owned(), vec![]),
        ("name=a&status=succeeded".to_owned(), vec![&c, &a]),
        ("name=a&status=failed".to_owned(), vec![]),
        (format!("since={accepted}"), vec![&c, &b]),
        (format!("until={accepted}"), vec![&a]),
        (format!("until={accepted}&agent=TESTBED&name=a&label=team:red"), vec![&a]),
    ] {
        assert_eq!(found(&query).iter().collect::<Vec<_>>(), expected, "{query}");
    }
    for bad in ["agent=nobody!", "label=red", "since=yesterday", "sort=up", "limit=0", "name=a&name=b"] {
        let answer = service.get(&format!("/api/v1/workflows?{bad}"));
        assert_eq!(answer.status, 400, "{bad}: {}", answer.body);
    }
}
