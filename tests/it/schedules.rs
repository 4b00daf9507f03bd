//! Schedules: runs come when they are due, by the rules, and no time starts two of them whatever dies when.
use std::collections::BTreeSet;
use std::time::Duration;

use dsmil::clock;
use dsmil::store::database::Database;
use serde_json::{Value, json};

use crate::support::database::sql;
use crate::support::service::{Home, Service};

fn echo() -> Value {
    json!({ "name": "echo", "steps": [{ "id": "e", "agent": "TESTBED", "tool": "cp.echo", "input": { "n": 1 } }] })
}

fn create(service: &Service, name: &str, rules: &Value) -> Value {
    let mut document = json!({ "name": name, "workflow": echo() });
    document.as_object_mut().expect("an object").extend(rules.as_object().expect("an object").clone());
    let answer = service.post("/api/v1/schedules", &document);
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.header("location"), Some(format!("/api/v1/schedules/{name}").as_str()));
    answer.json()
}

fn shown(service: &Service, name: &str) -> Value {
    let answer = service.get(&format!("/api/v1/schedules/{name}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// The runs of a schedule.
fn runs(service: &Service, name: &str) -> BTreeSet<String> {
    let answer = service.get(&format!("/api/v1/workflows?label=schedule:{name}&limit=500")).json();
    let ids = answer["workflows"].as_array().expect("runs").iter();
    ids.map(|run| run["workflow_id"].as_str().expect("an id").to_owned()).collect()
}

/// Polls until it holds.
fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let give_up = clock::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock::now() < give_up, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn until_more_runs(service: &Service, name: &str, than: usize) -> BTreeSet<String> {
    until("more runs", || Some(runs(service, name)).filter(|runs| runs.len() > than))
}

fn set(service: &Service, name: &str, how: &str) -> Value {
    let answer = service.post(&format!("/api/v1/schedules/{name}/{how}"), &Value::Null);
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()
}

fn database(home: &Home) -> Database {
    Database::on_socket(&home.data().join("postgres/socket"), 5433, "dsmil")
}

#[test]
fn runs_come_when_they_are_due_and_people_steer_that() {
    let home = Home::new();
    let service = Service::start(&home);
    let made = create(&service, "tick", &json!({ "every": "1s" }));
    assert_eq!((&made["time_zone"], &made["overlap"], &made["paused"]), (&json!("UTC"), &json!("skip"), &json!(false)));
    let some = until_more_runs(&service, "tick", 1);
    let run = service.finished(some.first().expect("a run"));
    assert_eq!((&run["status"], &run["labels"]["schedule"]), (&json!("succeeded"), &json!("tick")));

    assert_eq!(set(&service, "tick", "pause")["paused"], true);
    let before = runs(&service, "tick");
    std::thread::park_timeout(Duration::from_millis(2_500));
    assert_eq!(runs(&service, "tick"), before, "a paused schedule starts nothing");
    let ordered = set(&service, "tick", "run");
    assert_eq!((&ordered["state"], &ordered["ordered_by"]), (&json!("started"), &json!("token:admin")));
    let run = ordered["workflow_id"].as_str().expect("a run");
    assert_eq!(service.finished(run)["status"], "succeeded");
    assert_eq!(runs(&service, "tick").len(), before.len() + 1);
    let id = made["schedule_id"].as_str().expect("an id");
    assert_eq!(shown(&service, id)["firings"][0]["workflow_id"], json!(run), "it is found by its id, too");

    assert_eq!(set(&service, "tick", "resume")["paused"], false);
    until_more_runs(&service, "tick", before.len() + 1);
    let again = json!({ "name": "tick", "workflow": echo(), "cron": "@daily" });
    assert_eq!(service.post("/api/v1/schedules", &again).status, 409);
    let gone = service.call("DELETE", "/api/v1/schedules/tick", None, Some(&service.token));
    assert_eq!((gone.status, &gone.json()["deleted"]), (200, &json!(true)));
    assert_eq!(service.get("/api/v1/schedules/tick").status, 404);
    assert_eq!(service.post("/api/v1/schedules/tick/run", &Value::Null).status, 404);
    let left = runs(&service, "tick");
    create(&service, "tick", &json!({ "cron": "0 3 * * *", "time_zone": "Europe/Berlin" }));
    assert_eq!(runs(&service, "tick"), left, "a new one of the same name begins anew");

    let log = service.get("/api/v1/audit/entries?from=0&to=10000").body;
    for op in ["created", "paused", "run_ordered", "resumed", "deleted"] {
        assert!(log.contains(&format!("\"schedule.{op}\"")), "no schedule.{op} on record");
    }
    assert!(log.contains("\"schedule/tick\"") && log.contains("\"schedule:tick\""), "whose deeds they are");
}

#[test]
fn what_is_wrong_is_refused_with_pointers_and_nothing_is_stored() {
    let home = Home::new();
    let service = Service::start(&home);
    let refused = |document: Value, pointers: &[&str]| {
        let answer = service.post("/api/v1/schedules", &document);
        assert_eq!(answer.status, 422, "{}", answer.body);
        let problem = answer.json();
        let faults = problem["errors"].as_array().expect("errors").iter();
        let mut found: Vec<&str> = faults.filter_map(|fault| fault["pointer"].as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, pointers, "{}", answer.body);
    };
    let good = echo();
    refused(json!({ "name": "a", "workflow": good, "cron": "0 25 * * *" }), &["/cron"]);
    refused(json!({ "name": "a", "workflow": good, "cron": "0 0 30 2 *" }), &["/cron"]);
    refused(
        json!({ "name": "a", "workflow": good, "every": "10ms", "time_zone": "Mars/Olympus" }),
        &["/every", "/time_zone"],
    );
    refused(
        json!({ "name": "A b", "workflow": { "playbook": "none" }, "every": "1s" }),
        &["/name", "/workflow/playbook"],
    );
    refused(
        json!({ "name": "a", "workflow": good, "every": "1s", "overlap": "both", "color": 1 }),
        &["/color", "/overlap"],
    );
    assert_eq!(service.get("/api/v1/schedules").json()["schedules"], json!([]));
}

/// How often the service is killed: `make soak` sets the switch.
fn kills() -> usize {
    if std::env::var_os("DSMIL_SOAK").is_some() { 40 } else { 3 }
}

#[test]
fn no_time_starts_two_runs_and_what_was_missed_is_made_up_for_as_told() {
    let home = Home::new();
    let mut service = Service::start(&home);
    create(&service, "all", &json!({ "every": "1s", "catch_up": "all", "overlap": "allow" }));
    create(&service, "one", &json!({ "every": "1s", "catch_up": "one", "overlap": "queue" }));
    for _ in 0..kills() {
        // Right after a run has come: of it the schedule may have stored nothing yet.
        until_more_runs(&service, "all", runs(&service, "all").len());
        service.kill();
        // Away for longer than two times that are due.
        std::thread::park_timeout(Duration::from_millis(2_500));
        service = Service::start(&home);
    }
    until_more_runs(&service, "all", runs(&service, "all").len());
    for name in ["all", "one"] {
        set(&service, name, "pause");
        until("nothing waits", || (shown(&service, name)["waiting"] == 0).then_some(()));
    }
    let database = database(&home);
    let of = |name: &str, what: &str| {
        sql(
            &database,
            &format!(
                "SELECT {what} FROM ledger.schedule_firings f JOIN ledger.schedules s USING (node, schedule_id) \
                 WHERE s.name = '{name}'"
            ),
        )
    };
    for name in ["all", "one"] {
        let started = of(name, "count(*) FILTER (WHERE state = 'started')");
        assert_eq!(of(name, "count(DISTINCT run_id)"), started, "no run is that of two times");
        assert_eq!(runs(&service, name).len().to_string(), started, "no time of `{name}` has started two runs");
    }
    let every_second = "count(*) = extract(epoch FROM max(due) - min(due)) + 1 AND bool_and(state = 'started')";
    assert_eq!(of("all", every_second), "t", "all that was missed was made up for");
    assert_eq!(of("one", "count(*) FILTER (WHERE state = 'missed') BETWEEN 1 AND 3 * count(*)"), "t");
    assert_eq!(of("one", "bool_and(state IN ('started', 'missed'))"), "t");
    let keys = sql(&database, "SELECT count(*) FROM ledger.submissions WHERE principal LIKE 'schedule:%'");
    assert_eq!(keys, "0", "no key is left behind");
}

#[test]
fn a_firing_that_is_found_unsettled_days_later_starts_no_second_run() {
    let home = Home::new();
    let service = Service::start(&home);
    create(&service, "tick", &json!({ "cron": "@yearly", "paused": true }));
    let run = set(&service, "tick", "run")["workflow_id"].as_str().expect("a run").to_owned();
    service.finished(&run);
    // As a crash leaves it between the two, and as if that was days ago.
    let database = database(&home);
    sql(
        &database,
        &format!(
            "INSERT INTO ledger.submissions (node, principal, key, body_hash, run_id, at) \
             SELECT node, 'schedule:tick', schedule_id || '/' || (extract(epoch FROM due) * 1000000)::bigint, \
                sha256('x'), '{run}', now() - interval '3 days' FROM ledger.schedule_firings"
        ),
    );
    sql(&database, "UPDATE ledger.schedule_firings SET state = 'due', run_id = NULL");
    service.kill();
    let service = Service::start(&home);
    let firing = until("it is settled", || {
        Some(shown(&service, "tick")["firings"][0].clone()).filter(|firing| firing["state"] != "due")
    });
    assert_eq!((&firing["state"], &firing["workflow_id"]), (&json!("started"), &json!(run)));
    assert_eq!(runs(&service, "tick").len(), 1);
}

#[test]
fn the_command_line_does_all_of_it() {
    let home = Home::new();
    let service = Service::start(&home);
    let file = home.write("flow.yaml", "name: flow\nsteps: [{ id: e, agent: TESTBED, tool: cp.echo }]\n");
    let dsmil = |args: &[&str], exit: i32| {
        let output = home.dsmil(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        if exit == 0 { text } else { String::from_utf8_lossy(&output.stderr).into_owned() }
    };
    let file = file.display().to_string();
    let made = dsmil(&["schedules", "create", &file, "--cron", "0 3 * * *", "--time-zone", "Europe/Berlin"], 0);
    assert!(made.starts_with("flow is due next at ") && made.contains("T03:00:00+0"), "{made}");
    dsmil(&["schedules", "create", "host-baseline", "--every", "6h", "--name", "base", "--paused"], 0);
    let listed = dsmil(&["schedules", "list"], 0);
    assert!(listed.contains("0 3 * * *") && listed.contains("every 6h") && listed.contains("paused"), "{listed}");
    let run = dsmil(&["schedules", "run", "flow"], 0);
    assert_eq!(service.finished(run.trim())["status"], "succeeded");
    let shown = dsmil(&["schedules", "show", "flow"], 0);
    assert!(shown.contains(run.trim()) && shown.contains("started"), "{shown}");
    assert_eq!(dsmil(&["schedules", "pause", "flow"], 0), "flow is paused\n");
    assert!(dsmil(&["schedules", "resume", "flow"], 0).contains("due next"));
    assert_eq!(dsmil(&["schedules", "delete", "flow"], 0), "flow is deleted\n");
    let refused = dsmil(&["schedules", "create", &file, "--cron", "x"], 1);
    assert!(refused.contains("/cron"), "{refused}");
}
