//! The live feed as its clients meet it: follow, come back, stop reading, lose the right.
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use actix_rt::task::JoinHandle;
use dsmil::clock;
use serde_json::{Value, json};

use crate::support::burner::RULES;
use crate::support::feed::Client;
use crate::support::service::{Home, Service};
use crate::support::until;

fn start(home: &Home) -> Service {
    let rules = home.write("alerts.toml", RULES).display().to_string();
    let text = format!("[watch]\nalerts_file = {rules:?}\nactions = \"off\"\n[drills]\nenabled = true\n");
    let config = home.write("config.toml", &text);
    Service::start_with(home, &["--config", &config.display().to_string()])
}

fn exercise(service: &Service, firing: bool) {
    let answer = service.post("/api/v1/alerts/test", &json!({ "firing": firing }));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[actix_rt::test]
async fn a_client_that_comes_back_is_told_exactly_what_it_missed() {
    let home = Home::new();
    let service = start(&home);
    let mut client = Client::connect(&service, "", Some(&service.token)).await.expect("admitted");
    client.follow(None, &["agents", "events"]).await;
    let epoch = client.frame("welcome", "").await["epoch"].clone();
    let agents = client.frame("snap", "agents").await;
    assert_eq!(agents["d"].as_array().map(Vec::len), Some(80), "{agents}");
    exercise(&service, true);
    let seen = loop {
        let frame = client.next().await.expect("the connection lasts");
        if frame["ch"] == "events" && frame["d"].to_string().contains("firing") {
            break frame["seq"].as_u64().expect("seq");
        }
    };
    drop(client);

    exercise(&service, false);
    exercise(&service, true);
    let mut client = Client::connect(&service, "", Some(&service.token)).await.expect("admitted");
    client
        .follow(Some(json!({ "epoch": epoch, "events": seen, "agents": agents["seq"] })), &["events", "agents"])
        .await;
    let missed = client.frame("delta", "events").await;
    let entries = missed["d"].as_array().expect("entries");
    let told: Vec<(u64, &str)> = entries
        .iter()
        .map(|entry| (entry["seq"].as_u64().expect("seq"), entry["v"]["what"].as_str().expect("what")))
        .collect();
    assert_eq!(told, [(seen + 1, "resolved"), (seen + 2, "firing")]);

    // Of another start nothing is known: it gets everything anew.
    let mut client = Client::connect(&service, "", Some(&service.token)).await.expect("admitted");
    client.follow(Some(json!({ "epoch": "before", "events": seen })), &["events"]).await;
    assert_eq!(client.frame("snap", "events").await["seq"], seen + 2);
    client.say(json!({ "t": "sub", "id": 9, "ch": "weather" })).await;
    let refused = client.frame("err", "").await;
    assert_eq!(refused["id"], 9);
    assert!(refused["problem"]["detail"].as_str().is_some_and(|detail| detail.contains("`weather`")), "{refused}");
}

#[actix_rt::test]
async fn a_new_hub_knows_what_the_old_one_knew_and_nobody_misses_anything() {
    let home = Home::new();
    let service = start(&home);
    let run = service.submit(&json!({ "agents": ["PACER"] }));
    service.finished(&run);
    exercise(&service, true);
    let mut client = Client::connect(&service, "", Some(&service.token)).await.expect("admitted");
    client.follow(None, &["workflows", "events", "audit"]).await;
    let epoch = client.frame("welcome", "").await["epoch"].clone();
    let (mut seen, mut runs, mut recorded) = (0, 0, false);
    while seen == 0 || runs == 0 || !recorded {
        let frame = client.next().await.expect("the connection lasts");
        let (text, seq) = (frame["d"].to_string(), frame["seq"].as_u64().unwrap_or_default());
        match frame["ch"].as_str() {
            Some("events") if text.contains("firing") => seen = seq,
            Some("workflows") if text.contains(&run) && text.contains("succeeded") => runs = seq,
            Some("audit") if text.contains("run.accepted") => recorded = true,
            _ => {}
        }
    }
    drop(client);

    assert_eq!(service.post("/api/v1/supervision/hub/drill", &json!({})).status, 202);
    until("a new hub", || {
        let tree = service.get("/api/v1/supervision").json();
        let hub = child(&tree, "hub").expect("a hub");
        (hub["epoch"] == 2 && hub["state"] == "up").then_some(())
    });
    exercise(&service, false);

    let mut client = Client::connect(&service, "", Some(&service.token)).await.expect("admitted");
    client.follow(Some(json!({ "epoch": epoch, "events": seen, "workflows": runs })), &["events", "workflows"]).await;
    assert_eq!(client.frame("welcome", "").await["epoch"], epoch);
    let (mut told, mut last) = (BTreeSet::new(), seen);
    while !["ended", "restarting", "restarted", "resolved"].iter().all(|what| told.contains(*what)) {
        let frame = client.next().await.expect("the connection lasts");
        assert!(frame["t"] != "snap" && frame["t"] != "gap", "it is told only what it missed: {frame}");
        if frame["ch"] == "events" {
            for entry in frame["d"].as_array().expect("entries") {
                assert_eq!(entry["seq"], last + 1, "{frame}");
                last += 1;
                told.insert(entry["v"]["what"].as_str().expect("what").to_owned());
            }
        }
    }
    // Who comes for the first time sees what was before.
    let mut late = Client::connect(&service, "", Some(&service.token)).await.expect("admitted");
    late.follow(None, &["workflows", "events", "audit"]).await;
    // In the order in which they are sent.
    let wanted = [("workflows", run.as_str()), ("events", "firing"), ("audit", "run.accepted")];
    for (channel, what) in wanted {
        let snap = late.frame("snap", channel).await;
        assert!(snap["d"].to_string().contains(what), "no {what} in {snap}");
    }
}

/// The child of this name, wherever in the tree.
fn child<'t>(tree: &'t Value, name: &str) -> Option<&'t Value> {
    let below = || tree["children"].as_array()?.iter().find_map(|below| child(below, name));
    if tree["name"] == name { Some(tree) } else { below() }
}

#[actix_rt::test]
async fn only_who_may_is_admitted_and_only_as_long() {
    let home = Home::new();
    let service = start(&home);
    assert!(Client::connect(&service, "", None).await.is_err());
    assert!(Client::connect(&service, "", Some("dsmil_wrong")).await.is_err());
    let foreign = service.call_with(
        "GET",
        "/api/v1/stream",
        None,
        &[&format!("Authorization: Bearer {}", service.token), "Origin: http://evil.example"],
    );
    assert_eq!(foreign.status, 403, "{}", foreign.body);

    let ticket =
        service.post("/api/v1/stream-tickets", &json!({})).json()["ticket"].as_str().expect("a ticket").to_owned();
    let query = format!("?ticket={ticket}");
    let mut client = Client::connect(&service, &query, None).await.expect("a ticket admits");
    client.follow(None, &["alerts"]).await;
    client.frame("snap", "alerts").await;
    assert!(Client::connect(&service, &query, None).await.is_err(), "a ticket is good for one connection");

    let made = service.post("/api/v1/tokens", &json!({ "name": "eyes", "role": "viewer" })).json();
    let mut client = Client::connect(&service, "", made["token"].as_str()).await.expect("a viewer may look");
    client.follow(None, &["alerts"]).await;
    client.frame("snap", "alerts").await;
    let id = made["token_id"].as_str().expect("an id");
    let revoked = service.call("DELETE", &format!("/api/v1/tokens/{id}"), None, Some(&service.token));
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    assert_eq!(client.end().await, 4401, "whose right is gone is sent away");
}

#[actix_rt::test]
async fn the_feed_of_a_browser_ends_when_it_signs_out() {
    let home = Home::new();
    let service = start(&home);
    let own = format!("Origin: {}", service.url);
    let sign_in = json!({ "token": service.token }).to_string();
    let answer = service.call_with("POST", "/api/v1/sessions", Some(sign_in), &[&own]);
    let cookie = answer.header("set-cookie").and_then(|set| set.split(';').next()).expect("a cookie").to_owned();
    let held = format!("Cookie: {cookie}");
    let ticket = service.call_with("POST", "/api/v1/stream-tickets", Some("{}".into()), &[&held, &own]).json();
    let query = format!("?ticket={}", ticket["ticket"].as_str().expect("a ticket"));

    let headers = [("Cookie", cookie), ("Origin", service.url.clone())];
    let mut by_cookie = Client::connect_with(&service, "", &headers).await.expect("admitted");
    let mut by_ticket = Client::connect(&service, &query, None).await.expect("admitted");
    let mut by_token = Client::connect(&service, "", Some(&service.token)).await.expect("admitted");
    for client in [&mut by_cookie, &mut by_ticket, &mut by_token] {
        client.follow(None, &["alerts"]).await;
        client.frame("snap", "alerts").await;
    }
    assert_eq!(service.call_with("DELETE", "/api/v1/sessions", None, &[&held, &own]).status, 204);
    assert_eq!((by_cookie.end().await, by_ticket.end().await), (4401, 4401));
    // The token itself holds on.
    exercise(&service, true);
    by_token.frame("delta", "alerts").await;
}

/// From the event to the frame at a client, in milliseconds, of `count` events, of which none may be missing.
fn listen(mut client: Client, count: usize) -> JoinHandle<Vec<i64>> {
    actix_rt::spawn(async move {
        client.follow(None, &["host", "agents", "workflows", "alerts", "service", "events", "audit"]).await;
        let mut late = Vec::new();
        // Of each log, the number of the last entry.
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        while late.len() < count {
            let frame = client.next().await.expect("the connection lasts");
            let now = clock::wall().timestamp_millis();
            assert_ne!(frame["t"], "gap", "who reads loses nothing: {frame}");
            let channel = frame["ch"].as_str().unwrap_or_default();
            if !["events", "audit"].contains(&channel) {
                continue;
            }
            for entry in frame["d"].as_array().expect("entries") {
                let seq = entry["seq"].as_u64().expect("a number");
                if let Some(before) = last.insert(channel.to_owned(), seq) {
                    assert_eq!(seq, before + 1, "of {channel}");
                }
            }
            last.entry(channel.to_owned()).or_insert_with(|| frame["seq"].as_u64().expect("a number"));
            if channel == "events" && frame["t"] == "delta" {
                let entries = frame["d"].as_array().expect("entries");
                late.extend(entries.iter().map(|entry| now - entry["at"].as_i64().expect("a time")));
            }
        }
        late
    })
}

fn quantile(late: &mut [i64], share: f64) -> i64 {
    late.sort_unstable();
    late[((late.len() - 1) as f64 * share) as usize]
}

/// Shakes hands, follows everything, and never reads again.
fn stalled(service: &Service) -> TcpStream {
    let host = service.url.strip_prefix("http://").expect("http");
    let mut stream = TcpStream::connect(host).expect("connect");
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).expect("a small buffer");
    let head = format!(
        "GET /api/v1/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        service.token
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut say = |frame: Value| {
        let text = frame.to_string();
        // Masked with zeros (RFC 6455, section 5.3).
        let mut bytes = vec![0x81, 0x80 | u8::try_from(text.len()).expect("a short frame"), 0, 0, 0, 0];
        bytes.extend(text.as_bytes());
        stream.write_all(&bytes).expect("sent");
    };
    say(json!({ "t": "hello", "v": 1 }));
    for (id, channel) in ["host", "agents", "workflows", "service", "events", "audit"].into_iter().enumerate() {
        say(json!({ "t": "sub", "id": id, "ch": channel }));
    }
    stream
}

/// Reads what had been sent before the service gave up; None: the connection still lives.
fn what_came(stream: &mut TcpStream) -> Option<usize> {
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("timeout");
    let (mut count, mut buffer) = (0, [0; 16 * 1024]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Some(count),
            Ok(read) => count += read,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => return None,
            Err(_) => return Some(count),
        }
    }
}

fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[actix_rt::test]
async fn clients_that_stop_reading_are_dropped_and_the_others_do_not_notice() {
    const EVENTS: usize = 100;
    const STALLED: usize = 10;
    let home = Home::new();
    let service = start(&home);
    let mut listeners = Vec::new();
    for _ in 0..20 {
        listeners.push(Client::connect(&service, "", Some(&service.token)).await.expect("admitted"));
    }
    let listeners: Vec<_> = listeners.into_iter().map(|client| listen(client, EVENTS)).collect();
    let before = resident(service.pid());
    let mut lost: Vec<TcpStream> = (0..STALLED).map(|_| stalled(&service)).collect();
    let began: Instant = clock::now();
    // Something happens all the while.
    let (url, token) = (service.url.clone(), service.token.clone());
    let asking = actix_rt::spawn(async move {
        for count in 0_u32.. {
            let body = json!({ "firing": count % 2 == 0 }).to_string();
            let client = awc::Client::new();
            let asked =
                client.post(format!("{url}/api/v1/alerts/test")).bearer_auth(&token).content_type("application/json");
            asked.send_body(body).await.expect("answered");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut late = Vec::new();
    for listener in listeners {
        late.extend(listener.await.expect("it listens to the end"));
    }
    asking.abort();
    let grown = resident(service.pid()).saturating_sub(before);
    let (p50, p99) = (quantile(&mut late, 0.5), quantile(&mut late, 0.99));
    println!(
        "event to frame with 20 clients and {STALLED} stalled: p50 {p50} ms, p99 {p99} ms; memory grew by {grown} KiB"
    );
    assert!(late.len() >= 20 * EVENTS, "each client was told of each event");
    let limit = if std::env::var_os("DSMIL_SOAK").is_some() { 10 } else { 500 };
    assert!(p99 <= limit, "p99 {p99} ms");
    assert!(grown < 1024 * (STALLED as u64 + 20), "{grown} KiB for {STALLED} stalled clients");
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(began.elapsed())).await;
    for stream in &mut lost {
        let came = what_came(stream).expect("a stalled client is dropped within ten seconds");
        assert!(came <= 1024 * 1024, "{came} bytes");
    }
}
