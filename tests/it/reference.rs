//! The API against its own description: what the service answers has the shape that it says.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::service::{Answer, Home, Service};

/// What stands in the place of each parameter of a path.
fn names(run: &str, log_size: u64) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("/api/v1/workflows/{id}", run.to_owned()),
        ("/api/v1/agents/{id}", "PACER".to_owned()),
        ("/api/v1/tools/{id}", "load.read".to_owned()),
        ("/api/v1/playbooks/{name}", "host-baseline".to_owned()),
        ("/api/v1/audit/tile/{path}", format!("0/000.p/{log_size}")),
        ("/api/v1/schedules/{id}", "nightly".to_owned()),
        ("/api/v1/audit/proof/{index}", "0".to_owned()),
    ])
}

/// Says how an answer differs from what is described for this operation.
fn check(description: &Value, operation: &Value, answer: &Answer, line: &str) {
    let told = &operation["responses"];
    let said = match told.get(answer.status.to_string()) {
        Some(said) => said,
        None => {
            assert!(answer.status >= 400, "{line}: {} is not described: {}", answer.status, answer.body);
            &told["default"]
        }
    };
    let said = match said["$ref"].as_str() {
        Some(place) => description.pointer(place.trim_start_matches('#')).expect("a reference that leads somewhere"),
        None => said,
    };
    let Some(content) = said["content"].as_object() else {
        return assert_eq!(answer.body, "", "{line}");
    };
    let media_type = answer.header("content-type").expect("a media type").split(';').next().expect("a part");
    let schema = content.get(media_type).unwrap_or_else(|| panic!("{line}: {media_type} is not described"));
    if !media_type.ends_with("json") {
        return;
    }
    // Where anything may come (a description, a schema), the shape is `true`.
    let whole = json!({ "allOf": [schema["schema"]], "components": description["components"] });
    let validator = jsonschema::validator_for(&whole).expect("a schema");
    let body = answer.json();
    let faults: Vec<String> =
        validator.iter_errors(&body).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert_eq!(faults, Vec::<String>::new(), "{line}: {}", answer.body);
}

#[test]
fn answers_have_the_shapes_that_the_description_gives_them() {
    let home = Home::new();
    let service = Service::start(&home);
    assert_eq!(service.post("/api/v1/alerts/test", &json!({ "firing": true })).status, 200);
    let run = service.submit(&json!({ "playbook": "host-baseline" }));
    service.finished(&run);
    let steps = json!([{ "id": "a", "agent": "TESTBED", "tool": "cp.echo", "input": { "x": 1 } }, { "id": "b", "task": "is a disk failing", "tool": "storage.map" }]);
    let learned = service.submit(&json!({ "name": "learned", "mode": "sequential", "steps": steps }));
    service.finished(&learned);

    let description = service.get("/api/openapi.json").json();
    let nightly = json!({ "name": "nightly", "workflow": { "playbook": "host-baseline" }, "cron": "0 3 * * *" });
    assert_eq!(service.post("/api/v1/schedules", &nightly).status, 202);
    // A tile is kept for each size at which the log was sealed, until it is full.
    let head = service.get("/api/v1/audit/checkpoint").body;
    let log_size: u64 = head.lines().nth(1).and_then(|size| size.parse().ok()).expect("a size");
    assert!((1..256).contains(&log_size), "{head}");
    let names = names(&run, log_size);
    let mut asked = 0;
    for (path, operations) in description["paths"].as_object().expect("paths") {
        // A WebSocket, which its own tests open.
        if path == "/api/v1/stream" || operations["get"].is_null() {
            continue;
        }
        let address = match (path.find('{'), names.get(path.as_str())) {
            (None, _) => path.clone(),
            (Some(open), Some(name)) => path[..open].to_owned() + name,
            (Some(_), None) => panic!("say in `names` what to ask {path} for"),
        };
        let answer = service.get(&address);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        check(&description, &operations["get"], &answer, path);
        asked += 1;
        if operations["get"]["security"] != json!([]) {
            let refused = service.call("GET", &address, None, None);
            assert_eq!(refused.status, 401, "{path}");
            check(&description, &operations["get"], &refused, path);
        }
    }
    assert!(asked > 20, "only {asked} addresses");

    // What changes something, with a body of the described kind and with none.
    let posts = [
        ("/api/v1/workflows", json!({ "playbook": "host-baseline" }), 202),
        ("/api/v1/workflows", json!({ "steps": [{ "id": "a", "agent": "NOBODY" }] }), 422),
        ("/api/v1/agents/predict", json!({ "task": "is a disk failing" }), 200),
        ("/api/v1/agents/predict", json!({}), 400),
        ("/api/v1/alerts/test", json!({ "firing": false }), 200),
        ("/api/v1/tokens", json!({ "name": "reader", "role": "viewer", "expires_in": "1h" }), 201),
        ("/api/v1/tokens", json!({ "name": "reader", "role": "king" }), 400),
        ("/api/v1/sessions", json!({ "token": "wrong" }), 401),
        ("/api/v1/stream-tickets", json!({}), 201),
    ];
    for (path, body, status) in posts {
        let answer = service.post(path, &body);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        check(&description, &description["paths"][path]["post"], &answer, path);
    }
    let cancelled = service.post(&format!("/api/v1/workflows/{run}/cancel"), &json!({}));
    check(&description, &description["paths"]["/api/v1/workflows/{id}/cancel"]["post"], &cancelled, "cancel");
    let again = service.post("/api/v1/agents/PACER/restart", &json!({}));
    check(&description, &description["paths"]["/api/v1/agents/{id}/restart"]["post"], &again, "restart");
}
