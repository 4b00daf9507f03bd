//! What agents did is learned, once each, through faults of the database and of the learner; and asked for again.
use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use dsmil::clock;
use dsmil::ids::{AgentId, RunId, StepId, ToolId};
use dsmil::learning::batch::{Batch, batch};
use dsmil::learning::embed::Embedder;
use dsmil::learning::lesson::{Lesson, RunLesson, StepLesson};
use dsmil::store::database::Database;
use dsmil::store::{metrics, migrations, neighbours, partitions};
use dsmil::toolkit::learned::Metric;
use dsmil::toolkit::output::Status;
use dsmil::workflow::result::Usage;
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::database;
use crate::support::records::node;
use crate::support::service::{Home, Service};
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(60);

fn lesson(run: u128, agent: &str, task: &str, outcome: Status, at: DateTime<Utc>) -> Lesson {
    Lesson::Step(StepLesson {
        run: RunId(Uuid::from_u128(run)),
        step: StepId::new("a").expect("id"),
        attempt: 1,
        at,
        agent: AgentId::new(agent).expect("id"),
        tool: ToolId::new("fs.manifest").expect("id"),
        task: Some(task.to_owned()),
        workflow: "w".to_owned(),
        duration_ms: 41.7,
        outcome,
        usage: Some(Usage { cpu_ms: 1.5, major_faults: 0, blocks_in: 8, blocks_out: 0 }),
        audit_index: None,
    })
}

fn ended(run: u128, at: DateTime<Utc>) -> Lesson {
    Lesson::Run(RunLesson {
        run: RunId(Uuid::from_u128(run)),
        at,
        workflow: "w".repeat(80),
        agents: vec![AgentId::new("PACER").expect("id"), AgentId::new("TESTBED").expect("id")],
        execution_graph: json!({"mode": "dag"}),
        timing_metrics: json!({"execution_time_ms": 7}),
        audit_index: None,
    })
}

fn of(lessons: Vec<Lesson>, embedder: &Embedder) -> Batch {
    batch(lessons, embedder, &BTreeMap::new())
}

async fn fresh() -> Database {
    let database = database::fresh().await;
    migrations::run(&database).await.expect("migrated");
    partitions::maintain(&database, clock::wall(), 0).await.expect("partitions");
    database
}

#[actix::test]
async fn a_lesson_is_stored_once_and_repeats_add_weight() {
    let (database, embedder) = (fresh().await, Embedder::shipped().expect("a model"));
    let pool = database.readers(2).expect("a pool");
    // All within one hour, whatever the time is.
    let hour = clock::wall() - TimeDelta::seconds(clock::wall().timestamp().rem_euclid(3_600));
    let task = "compare the files below a directory with the last manifest";
    let first = vec![
        lesson(1, "INTEGRITY-SENTINEL", task, Status::Ok, hour),
        lesson(2, "INTEGRITY-SENTINEL", &task.to_uppercase(), Status::Failed, hour),
        lesson(3, "PACER", "read the load of the host", Status::Unavailable, hour),
        ended(1, hour),
    ];
    let again = of(first.clone(), &embedder);
    assert_eq!(metrics::add(&pool, &node(), &again).await, Ok(4));
    assert_eq!(metrics::add(&pool, &node(), &again).await, Ok(0), "the same again adds nothing");
    let mut overlapping = first[1..].to_vec();
    overlapping.push(lesson(4, "INTEGRITY-SENTINEL", task, Status::Degraded, hour));
    assert_eq!(metrics::add(&pool, &node(), &of(overlapping, &embedder)).await, Ok(1));

    let sql = |statement: &str| database::sql(&database, statement);
    assert_eq!(sql("SELECT count(*), count(vector_embedding) FROM agent_performance_metrics"), "4|2");
    assert_eq!(
        sql("SELECT agent_id, task_type, execution_time_ms, success_rate, resource_usage->>'cpu_ms', node \
             FROM agent_performance_metrics ORDER BY run_id LIMIT 1"),
        "INTEGRITY-SENTINEL|fs.manifest|42|100.00|1.5|n1"
    );
    assert_eq!(
        sql("SELECT agent_id, successes, failures FROM agent_task_hours ORDER BY 1"),
        "INTEGRITY-SENTINEL|2|1\nPACER|0|0"
    );
    assert_eq!(
        sql("SELECT participating_agents, length(workflow_type), node FROM system_coordination_log"),
        "{PACER,TESTBED}|64|n1"
    );
    assert_eq!(sql("SELECT count(*) FROM agent_performance_metrics_default"), "0", "a month has its partition");

    let now = clock::wall();
    let near = |text: &str, since| {
        let (pool, vector) = (pool.clone(), embedder.embed(text));
        async move { neighbours::nearest(&pool, &vector, since, now).await.expect("read") }
    };
    let found = near(task, now - TimeDelta::days(70)).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].similarity > 0.999 && found[0].similarity > found[1].similarity, "{found:?}");
    assert_eq!((found[0].successes, found[0].failures, found[0].execution_time_ms), (2, 1, 42));
    assert_eq!(near(task, now + TimeDelta::days(1)).await, [], "what is too old is left out");

    let sentinel = AgentId::new("INTEGRITY-SENTINEL").expect("id");
    let samples = neighbours::samples(&pool, Some(&sentinel), None, Metric::CpuTime).await.expect("read");
    assert_eq!(samples.len(), 3);
    assert_eq!(samples.iter().filter(|sample| sample.success == Some(true)).count(), 2);
}

#[actix::test]
async fn the_index_over_vectors_is_used_once_there_are_many() {
    let (database, embedder) = (fresh().await, Embedder::shipped().expect("a model"));
    let pool = database.readers(2).expect("a pool");
    let words = ["disk", "user", "kernel", "port", "log", "package", "certificate", "clock", "memory", "device"];
    let text = |n: usize| format!("check {} {} and {} {n}", words[n % 10], words[n / 10 % 10], words[n / 100 % 10]);
    let now = clock::wall();
    for chunk in (0..2_000).collect::<Vec<usize>>().chunks(250) {
        let lessons = chunk.iter().map(|n| lesson(*n as u128 + 1, "PACER", &text(*n), Status::Ok, now)).collect();
        assert_eq!(metrics::add(&pool, &node(), &of(lessons, &embedder)).await, Ok(250));
    }
    database::sql(&database, "ANALYZE");
    let plan = database::sql(
        &database,
        "EXPLAIN SELECT id FROM agent_performance_metrics ORDER BY (vector_embedding::halfvec(256)) <=> \
         (SELECT vector_embedding::halfvec(256) FROM agent_performance_metrics LIMIT 1) LIMIT 128",
    );
    assert!(plan.contains("Index Scan using") && plan.contains("halfvec"), "{plan}");
    let found =
        neighbours::nearest(&pool, &embedder.embed(&text(123)), now - TimeDelta::days(1), now).await.expect("read");
    assert_eq!(found.len(), 128);
    assert!(found[0].similarity > 0.99, "{:?}", found[0]);
}

fn sql(home: &Home, statement: &str) -> String {
    database::sql(&Database::on_socket(&home.data().join("postgres/socket"), 5433, "dsmil"), statement)
}

/// Two steps that teach, and one that does not.
fn document(n: usize) -> Value {
    json!({ "name": format!("lesson-{n}"), "steps": [
        { "id": "links", "agent": "NETWORK-ENGINEER", "tool": "net.links" },
        { "id": "load", "agent": "PACER", "tool": "load.read", "input": { "window_s": 1 } },
        { "id": "echo", "agent": "TESTBED", "tool": "cp.echo" },
    ] })
}

/// Waits until as much was learned as was done, and looks for doubles.
fn all_is_learned(home: &Home, service: &Service, runs: usize) {
    let count = "SELECT (SELECT count(*) FROM agent_performance_metrics) || ' ' || \
                 (SELECT count(*) FROM system_coordination_log)";
    let expected = format!("{} {runs}", 2 * runs);
    let give_up = clock::now() + PATIENCE;
    loop {
        let found = sql(home, count);
        if found == expected {
            break;
        }
        assert!(clock::now() < give_up, "{found}, not {expected}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    // Whatever comes later would be a double: nothing may be on its way any more.
    until("the learner has nothing left", || {
        let learner = service.get("/api/v1/learner").json();
        (learner["waiting"] == 0 && learner["offered"] == 0).then_some(())
    });
    assert_eq!(sql(home, count), expected, "the same was stored twice");
    assert_eq!(
        sql(home, "SELECT count(*) FROM (SELECT DISTINCT run_id, step, attempt FROM agent_performance_metrics) t"),
        (2 * runs).to_string()
    );
    let weights = "SELECT sum(successes), sum(failures) FROM agent_task_hours";
    assert_eq!(sql(home, weights), format!("{}|0", 2 * runs), "each attempt weighs once");
}

#[test]
fn what_agents_did_is_learned_with_its_proof_and_asked_for_again() {
    let home = Home::new();
    let service = Service::start(&home);
    let runs: Vec<String> = (0..3).map(|n| service.submit(&document(n))).collect();
    let last = service.finished(&runs[2]);
    runs.iter().for_each(|run| assert_eq!(service.finished(run)["status"], "succeeded"));
    all_is_learned(&home, &service, 3);
    let row = sql(
        &home,
        "SELECT count(*) FILTER (WHERE success_rate = 100), count(*) FILTER (WHERE resource_usage ? 'cpu_ms'), \
         count(vector_embedding) FROM agent_performance_metrics",
    );
    // The words of these steps differ by the workflow's name.
    assert_eq!(row, "6|6|6");
    // The reference names the entry of the log, and its leaf.
    let run = last["workflow_id"].as_str().expect("an id");
    let step = &last["steps"][0];
    let index = step["audit_index"].as_u64().expect("an index");
    let node = last["node"].as_str().expect("a node");
    let reference = sql(
        &home,
        &format!(
            "SELECT convert_from(tpm_signature, 'UTF8') FROM agent_performance_metrics WHERE run_id = '{run}' AND step = 'links'"
        ),
    );
    let leaf = sql(&home, &format!("SELECT encode(leaf_hash, 'hex') FROM ledger.audit_entries WHERE idx = {index}"));
    assert_eq!(reference, format!("dsmil/{node}#{index}@sha256:{leaf}"));

    let question = json!({ "task": "which network interfaces and addresses does this host have", "context": {} });
    let answer = service.post("/api/v1/agents/predict", &question);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let prediction = answer.json();
    for key in ["agent_id", "confidence", "lower", "n_eff", "explored", "reasons", "ranking"] {
        assert!(prediction.get(key).is_some(), "no {key} in {prediction}");
    }
    assert_eq!(prediction["ranking"].as_array().map(Vec::len), Some(80));
    assert!(prediction["n_eff"].as_f64().expect("a number") >= 0.0);
    let poem = service.post("/api/v1/agents/predict", &json!({ "task": "zxqv" })).json();
    assert_eq!(poem["agent_id"], Value::Null, "{poem}");

    let words = ["agents", "predict", "use before heavy work to learn whether the host can bear it now", "--top", "3"];
    let asked = home.dsmil(&words);
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success() && said.starts_with("PACER"), "{said} {}", String::from_utf8_lossy(&asked.stderr));

    let stats = json!({ "name": "stats", "steps": [
        { "id": "s", "agent": "PLANNER", "tool": "learn.stats", "input": { "subject": "PACER/load.read" } },
    ] });
    let shape = service.finished(&service.submit(&stats));
    assert_eq!(
        (&shape["steps"][0]["status"], &shape["results"]["s"]["n"]),
        (&json!("degraded"), &json!(3)),
        "{shape:#}"
    );
}

#[test]
fn a_step_that_names_a_task_is_done_by_whom_the_learner_chooses() {
    let home = Home::new();
    let service = Service::start(&home);
    let document = json!({ "name": "chosen", "mode": "parallel", "steps": [
        { "id": "load", "task": "use before heavy work such as hashing or scans: can the host bear it now", "tool": "load.read",
          "input": { "window_s": 1 } },
        { "id": "nobody", "task": "zxqv" },
    ] });
    let shape = service.finished(&service.submit(&document));
    let (load, nobody) = (&shape["steps"][0], &shape["steps"][1]);
    assert_eq!(
        (&load["status"], &load["agent"], &load["tool"]),
        (&json!("succeeded"), &json!("PACER"), &json!("load.read")),
        "{shape:#}"
    );
    assert!(load["chosen_by"]["confidence"].as_f64().expect("a number") > 0.5, "{load:#}");
    assert!(!load["chosen_by"]["reasons"].as_array().expect("a list").is_empty());
    assert_eq!((&nobody["status"], &nobody["agent"]), (&json!("failed"), &Value::Null), "{shape:#}");
    assert!(nobody["reason"].as_str().expect("a reason").contains("no agent is confident"), "{nobody:#}");
    let words = "SELECT task_text FROM agent_task_hours";
    let give_up = clock::now() + PATIENCE;
    while !sql(&home, words).contains("can the host bear it now") {
        assert!(clock::now() < give_up, "the task was not learned: {}", sql(&home, words));
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn lessons_land_exactly_once_though_database_and_learner_die_under_load() {
    let home = Home::new();
    let config = home.write("drills.toml", "[drills]\nenabled = true\n");
    let service = Service::start_with(&home, &["--config", &config.display().to_string()]);
    let mut runs: Vec<String> = Vec::new();
    let lives = || {
        let tree = service.get("/api/v1/supervision").json();
        let learner = tree["children"].as_array().and_then(|all| all.iter().find(|c| c["name"] == "learning")).cloned();
        let learner = learner.expect("a supervisor of the learner");
        let child = learner["children"].as_array().and_then(|all| all.iter().find(|c| c["name"] == "learner")).cloned();
        child.expect("the learner")["epoch"].as_u64().expect("a number")
    };
    let before = lives();
    for round in 0..3 {
        runs.extend((0..15).map(|n| service.submit(&document(100 * round + n))));
        let give_up = clock::now() + PATIENCE;
        while service.post("/api/v1/learner/drill", &json!({})).status != 202 {
            assert!(clock::now() < give_up, "the learner takes no drill");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        service.finished(&runs[15 * round]);
        let give_up = clock::now() + PATIENCE;
        while lives() < before + round as u64 + 1 {
            assert!(clock::now() < give_up, "the learner was not started again");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    for pid in home.children("postgres") {
        // A backend may have gone with its postmaster already.
        if let Err(error) = kill(pid, Signal::SIGKILL) {
            assert_eq!(error, nix::errno::Errno::ESRCH);
        }
    }
    for run in &runs {
        assert_eq!(service.finished(run)["status"], "succeeded");
    }
    all_is_learned(&home, &service, runs.len());
}

#[test]
fn a_database_that_stands_still_for_a_while_costs_no_lesson() {
    let home = Home::new();
    let service = Service::start(&home);
    let runs: Vec<String> = (0..40).map(|n| service.submit(&document(n))).collect();
    let all = |signal: Signal| {
        for pid in home.children("postgres") {
            if let Err(error) = kill(pid, signal) {
                assert_eq!(error, nix::errno::Errno::ESRCH);
            }
        }
    };
    all(Signal::SIGSTOP);
    let away = if std::env::var_os("DSMIL_SOAK").is_some() { 30 } else { 3 };
    let back = clock::now() + Duration::from_secs(away);
    while clock::now() < back {
        assert_eq!(service.get("/livez").status, 200, "the service itself lives on");
        std::thread::park_timeout(Duration::from_millis(200));
    }
    all(Signal::SIGCONT);
    for run in &runs {
        assert_eq!(service.finished(run)["status"], "succeeded");
    }
    all_is_learned(&home, &service, runs.len());
}
