//! What learning costs: a text to its vector, a lesson to the spool, and the question who should do a task, over HTTP to
//! a service of its own with 10,000 past tasks. Prints p50, p95 and p99 in microseconds.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends there")]
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use dsmil::actors::child::{ChildOptions, ChildSpec, Place, Readiness};
use dsmil::actors::home::Home;
use dsmil::actors::learner::{Knowledge, Learner, LearnerPorts};
use dsmil::actors::root::start_root;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::clock;
use dsmil::ids::{AgentId, NodeId, RunId, StepId, ToolId};
use dsmil::learning::batch::batch;
use dsmil::learning::embed::Embedder;
use dsmil::learning::lesson::{Lesson, StepLesson};
use dsmil::learning::rank::Rules;
use dsmil::logfiles::spool::Bounds;
use dsmil::messages::learner::{Learn, StoreLessons};
use dsmil::messages::port::Port;
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use dsmil::store::database::Database;
use dsmil::store::metrics;
use dsmil::toolkit::output::Status;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uuid::Uuid;

const ROWS: usize = 10_000;
const ASKS: usize = 2_000;
const VERBS: [&str; 10] =
    ["check", "find", "list", "verify", "compare", "measure", "explain", "watch", "audit", "read"];
const THINGS: [&str; 20] = [
    "disk health",
    "failed logins",
    "kernel modules",
    "listening ports",
    "package signatures",
    "expired certificates",
    "clock drift",
    "memory pressure",
    "USB devices",
    "firewall rules",
    "open files",
    "boot order",
    "TPM registers",
    "container images",
    "cron jobs",
    "SSH settings",
    "thermal sensors",
    "network links",
    "log errors",
    "user accounts",
];
const AGENTS: [&str; 8] =
    ["DISK-DOCTOR", "INTRUSION-ANALYST", "PACER", "NETWORK-ENGINEER", "TIMEKEEPER", "USB-GUARD", "MONITOR", "PATCHER"];

fn text(n: usize) -> String {
    let (verb, thing, other) = (VERBS[n % 10], THINGS[n / 10 % 20], THINGS[n / 200 % 20]);
    format!("{verb} the {thing} of host {} and its {other}", n / 4_000)
}

fn lesson(n: usize) -> Lesson {
    let age = TimeDelta::minutes(i64::try_from(n % 20_000).expect("small"));
    Lesson::Step(StepLesson {
        run: RunId(Uuid::from_u128(n as u128 + 1)),
        step: StepId::new("a").expect("id"),
        attempt: 1,
        at: clock::wall() - age,
        agent: AgentId::new(AGENTS[n / 10 % 8]).expect("id"),
        tool: ToolId::new("load.read").expect("id"),
        task: Some(text(n)),
        workflow: "bench".to_owned(),
        duration_ms: 20.0,
        outcome: if n.is_multiple_of(9) { Status::Failed } else { Status::Ok },
        usage: None,
        audit_index: None,
    })
}

fn main() {
    println!("{:<44} {:>9} {:>9} {:>9}", "microseconds", "p50", "p95", "p99");
    let embedder = Embedder::shipped().expect("the model");
    let mut times = Vec::new();
    for n in 0..ROWS {
        let text = text(n);
        let began = clock::now();
        let vector = embedder.embed(&text);
        times.push(clock::now() - began);
        assert!(vector.has_meaning());
    }
    print("a text to its vector", &mut times);
    actix_rt::System::new().block_on(async {
        print("a lesson to the spool, and its answer", &mut record().await);
        print("who should do a task, over HTTP, 10,000 rows", &mut predict(&embedder).await);
    });
}

/// The way of a lesson into the spool of a supervised learner; a step itself does not wait for it.
async fn record() -> Vec<Duration> {
    let dir = tempfile::tempdir().expect("a directory");
    let home = Home::start("learner").expect("a thread");
    let knowledge = Arc::new(Knowledge {
        embedder: Embedder::shipped().expect("the model"),
        cards: Vec::new(),
        what: BTreeMap::new(),
        built: Default::default(),
        facts: BTreeMap::new(),
        rules: Rules::default(),
    });
    let ports = LearnerPorts {
        store: Port::answering(|StoreLessons(batch)| Ok(Ok(batch.steps.len() as u64))),
        near: Port::answering(|_| Ok(Ok(Vec::new()))),
    };
    let options = ChildOptions {
        readiness: Readiness::WhenReady { within: Duration::from_secs(30) },
        ..ChildOptions::at(Place::Shared(home))
    };
    let path = dir.path().to_owned();
    let make = move || Learner::new(path.clone(), Bounds::default(), Arc::clone(&knowledge), ports.clone());
    let (spec, learner) = ChildSpec::worker("learner", options, make);
    let intensity = Intensity { max: 3, within: Duration::from_secs(60) };
    let spec = SupervisorSpec { name: "root".into(), strategy: Strategy::OneForOne, intensity, children: vec![spec] };
    let root = start_root(spec, |_| ()).expect("the tree starts");
    let port = learner.port::<Learn>();
    while port.ask(Learn(Vec::new())).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut times = Vec::new();
    for n in 0..ROWS {
        let lessons = vec![lesson(n)];
        let began = clock::now();
        port.ask(Learn(lessons)).await.expect("answered").expect("kept");
        times.push(clock::now() - began);
    }
    let left = root.shutdown(Duration::from_secs(10)).await.left_behind;
    assert!(left.is_empty(), "{left:?}");
    times
}

struct Service {
    child: Child,
    url: String,
    token: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        let ended = kill(pid, Signal::SIGTERM).map_err(std::io::Error::from).and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("the service could not be ended: {error}");
        }
    }
}

fn serve(data: &Path) -> Service {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dsmil"));
    command.arg("--data-dir").arg(data).args(["serve", "--listen", "127.0.0.1:0"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the service starts");
    let give_up = clock::now() + Duration::from_secs(60);
    let ready = data.join("run/service.json");
    loop {
        assert!(clock::now() < give_up, "the service is not ready");
        let found = fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let Some(found) = found else {
            std::thread::park_timeout(Duration::from_millis(10));
            continue;
        };
        let token = fs::read_to_string(data.join("admin.token")).expect("a token").trim().to_owned();
        return Service { child, url: found["url"].as_str().expect("a URL").to_owned(), token };
    }
}

async fn predict(embedder: &Embedder) -> Vec<Duration> {
    let dir = tempfile::tempdir().expect("a directory");
    // Started as root, the service becomes another user, who must get through.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("opened");
    let data = dir.path().join("data");
    let service = serve(&data);
    let database = Database::on_socket(&data.join("postgres/socket"), 5433, "dsmil");
    let (pool, node) = (database.readers(1).expect("a pool"), NodeId::new("bench").expect("id"));
    for chunk in (0..ROWS).collect::<Vec<_>>().chunks(250) {
        let lessons = chunk.iter().map(|n| lesson(*n)).collect();
        let added = metrics::add(&pool, &node, &batch(lessons, embedder, &BTreeMap::new())).await;
        assert_eq!(added, Ok(250));
    }
    let host = service.url.strip_prefix("http://").expect("http").to_owned();
    let mut stream = TcpStream::connect(&host).expect("connected");
    stream.set_nodelay(true).expect("set");
    let mut times = Vec::new();
    for n in 0..ASKS {
        let body = serde_json::json!({"task": text(n * 7 % ROWS)}).to_string();
        let request = format!(
            "POST /api/v1/agents/predict HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            service.token,
            body.len()
        );
        let began = clock::now();
        stream.write_all(request.as_bytes()).expect("sent");
        let answer = read(&stream);
        times.push(clock::now() - began);
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        let weighs = |ranked: &serde_json::Value| ranked["n_eff"].as_f64().is_some_and(|weight| weight > 1.0);
        assert!(answer["ranking"].as_array().is_some_and(|all| all.iter().any(weighs)), "{answer}");
    }
    // The first questions find cold connections and caches.
    times.split_off(ASKS / 10)
}

fn read(stream: &TcpStream) -> Vec<u8> {
    let mut from = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        from.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(':') else {
            assert!(line.trim().is_empty() || line.contains(" 200 "), "{line}");
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).expect("a body");
    body
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e6;
    println!("{what:<44} {:>9.1} {:>9.1} {:>9.1}", at(0.50), at(0.95), at(0.99));
}
