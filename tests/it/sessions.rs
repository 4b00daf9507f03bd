//! WebSocket sessions are children of the tree: seen, bounded, and sent away before the service ends.
use std::time::Instant;

use dsmil::clock;
use serde_json::{Value, json};

use crate::support::feed::Client;
use crate::support::service::{Home, Service};
use crate::support::until;

/// The supervisor of the sessions, as the tree shows it.
fn sessions(service: &Service) -> Value {
    let tree = service.get("/api/v1/supervision").json();
    let below = |node: &Value, name: &str| {
        let children = node["children"].as_array().expect("children");
        children.iter().find(|child| child["name"] == name).cloned().expect("it is there")
    };
    below(&below(&tree, "edges"), "sessions")
}

async fn connect(service: &Service, token: &str) -> Client {
    let mut client = Client::connect(service, "", Some(token)).await.expect("admitted");
    client.follow(None, &["alerts"]).await;
    client.frame("snap", "alerts").await;
    client
}

#[actix_rt::test]
async fn sessions_are_seen_bounded_and_sent_away_at_the_end() {
    let home = Home::new();
    let config = home.write("config.toml", "[web]\nmax_sessions = 2\n[drills]\nenabled = true\n");
    let service = Service::start_with(&home, &["--config", &config.display().to_string()]);
    let eyes = service.post("/api/v1/tokens", &json!({ "name": "eyes", "role": "viewer" })).json();
    let mut first = connect(&service, &service.token).await;
    let mut second = connect(&service, eyes["token"].as_str().expect("a token")).await;

    let seen = sessions(&service);
    assert_eq!((&seen["strategy"], &seen["state"]), (&json!("dynamic"), &json!("up")), "{seen:#}");
    let of = |n: usize, key: &str| seen["children"][n][key].clone();
    assert_eq!(
        (of(0, "name"), of(0, "kind"), of(0, "label")),
        (json!("session-1"), json!("guest"), json!("bootstrap"))
    );
    assert_eq!((of(1, "name"), of(1, "state"), of(1, "label")), (json!("session-2"), json!("up"), json!("eyes")));
    let drawn = home.dsmil(&["supervision"]);
    let drawn = String::from_utf8_lossy(&drawn.stdout).into_owned();
    assert!(drawn.contains("session-2 (eyes)  up"), "{drawn}");

    // One more is refused before the handshake is answered, and told when to come back.
    let bearer = format!("Authorization: Bearer {}", service.token);
    let handshake = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    let headers = [&[bearer.as_str()], &handshake[..]].concat();
    let refused = service.call_with("GET", "/api/v1/stream", None, &headers);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.body);
    assert!(refused.body.contains("2 live feeds") && refused.body.contains("web.max_sessions"), "{}", refused.body);

    // A seat is free once its session has gone, and names are not used twice.
    drop(second);
    until("a free seat", || (sessions(&service)["children"].as_array().map(Vec::len) == Some(1)).then_some(()));
    second = connect(&service, &service.token).await;
    assert_eq!(sessions(&service)["children"][1]["name"], "session-3");

    // What carries a session is not ours to break.
    assert_eq!(service.post("/api/v1/supervision/session-3/drill", &json!({})).status, 409);

    let began: Instant = clock::now();
    let stopping = actix_rt::task::spawn_blocking(move || service.stop());
    assert_eq!((first.end().await, second.end().await), (1001, 1001), "they are told to go");
    assert_eq!(stopping.await.expect("stopped"), 0);
    assert!(began.elapsed().as_secs() < 10, "the HTTP server does not wait for them: {:?}", began.elapsed());
    let log = std::fs::read_to_string(home.path("serve.log")).expect("a log");
    assert!(!log.contains("left behind"), "{log}");
}
