//! Workflows of every kind while the service, its database or both are killed at random moments, again and again. In
//! the end each submission has led to one run that ended as its kind must, and the host, the journal and the log agree.
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use dsmil::clock;
use dsmil::store::database::Database;
use nix::sys::signal::{Signal, kill};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::database::sql;
use crate::support::service::{Caller, Home, Service};

/// Submitted and not seen to have ended; more wait until some have.
const MOST_OPEN: usize = 60;
const LETTING_END: Duration = Duration::from_secs(60);

/// How often something is killed: `make soak` sets the switch, and may say how often.
fn kills() -> usize {
    match std::env::var("DSMIL_SOAK") {
        Ok(text) => text.parse().ok().filter(|kills| *kills > 1).unwrap_or(1_000),
        Err(_) => 12,
    }
}

/// What is asked of a run: the end of its address, and the body.
type Wish = (&'static str, fn() -> Value);

/// What is submitted, what is asked of it meanwhile, how it ends, and what is left on the host.
struct Kind {
    steps: fn(usize) -> Value,
    on_failure: &'static str,
    wish: Option<Wish>,
    ends: &'static str,
    leaves_file: Option<bool>,
}

const KINDS: [Kind; 9] = [
    Kind { steps: in_a_row, ..QUIET },
    Kind { steps: items, ..QUIET },
    Kind { steps: sleeps, ..QUIET },
    Kind { steps: writes, leaves_file: Some(true), ..QUIET },
    Kind { steps: writes_in_vain, on_failure: "rollback", ends: "rolled_back", leaves_file: Some(false), ..QUIET },
    Kind { steps: waits, wish: Some(("signals/go", || json!({ "x": 1 }))), ..QUIET },
    Kind { steps: asks, wish: Some(("steps/gate/approve", || json!({}))), leaves_file: Some(true), ..QUIET },
    Kind {
        steps: writes_and_waits,
        wish: Some(("cancel?undo=true", || json!({}))),
        ends: "rolled_back",
        leaves_file: Some(false),
        ..QUIET
    },
    Kind { steps: writes, wish: Some(("undo", || json!({}))), ends: "rolled_back", leaves_file: Some(false), ..QUIET },
];

const QUIET: Kind = Kind { steps: in_a_row, on_failure: "keep", wish: None, ends: "succeeded", leaves_file: None };

fn echo(id: &str, n: usize) -> Value {
    let agent = ["TESTBED", "ORCHESTRATOR"][n % 2];
    json!({ "id": id, "agent": agent, "tool": "cp.echo", "input": { "n": n } })
}

fn write(id: &str, n: usize) -> Value {
    let input = json!({ "path": format!("kills/{n}.txt"), "content": format!("{n} by {id}") });
    json!({ "id": id, "agent": "DEPLOYER", "tool": "fs.write", "input": input })
}

fn in_a_row(n: usize) -> Value {
    json!([echo("a", n), echo("b", n), echo("c", n)])
}

fn items(n: usize) -> Value {
    let mut each = echo("each", n);
    each["for_each"] = json!([1, 2, 3, 4, 5, 6]);
    each["max_parallel"] = json!(3);
    json!([each, echo("z", n)])
}

fn sleeps(n: usize) -> Value {
    json!([echo("a", n), { "id": "nap", "sleep": "200ms" }, echo("b", n)])
}

fn writes(n: usize) -> Value {
    json!([echo("a", n), write("first", n), write("last", n)])
}

fn writes_in_vain(n: usize) -> Value {
    json!([write("first", n), write("last", n), { "id": "never", "wait_for": "never", "timeout": "100ms" }])
}

fn waits(n: usize) -> Value {
    json!([echo("a", n), { "id": "go", "wait_for": "go" }, echo("b", n)])
}

fn asks(n: usize) -> Value {
    json!([write("first", n), { "id": "gate", "approve": { "role": "operator" } }, write("last", n)])
}

fn writes_and_waits(n: usize) -> Value {
    json!([write("first", n), write("last", n), { "id": "never", "wait_for": "never", "timeout": "1h" }])
}

/// A submission, and what is known of it.
struct Submission {
    n: usize,
    run: Option<String>,
    ended: bool,
}

impl Submission {
    fn kind(&self) -> &'static Kind {
        &KINDS[self.n % KINDS.len()]
    }

    /// Submits it under its key, or looks after it; an error: the service is gone.
    fn pursue(&mut self, caller: &Caller) -> std::io::Result<()> {
        let kind = self.kind();
        let Some(run) = &self.run else {
            let document = json!({
                "name": "killed", "mode": "sequential", "on_failure": kind.on_failure, "steps": (kind.steps)(self.n),
            });
            let key = format!("Idempotency-Key: kills-{}", self.n);
            let answer = caller.post("/api/v1/workflows", &document, &[&key])?;
            match answer.status {
                202 => self.run = answer.json()["workflow_id"].as_str().map(str::to_owned),
                // in flight, no database, or nobody knows: the key will tell
                409 | 502..=504 => {}
                status => panic!("{status} for a submission: {}", answer.body),
            }
            return Ok(());
        };
        let shown = caller.get(&format!("/api/v1/workflows/{run}"))?;
        if shown.status != 200 {
            assert!(matches!(shown.status, 502..=504), "{} for run {run}: {}", shown.status, shown.body);
            return Ok(());
        }
        self.ended = shown.json()["status"] == kind.ends;
        if let Some((what, body)) = kind.wish.filter(|_| !self.ended) {
            let answer = caller.post(&format!("/api/v1/workflows/{run}/{what}"), &body(), &[])?;
            // 409: it is not there yet, or it was done before.
            assert!(matches!(answer.status, 202 | 409 | 502..=504), "{what} {}: {}", answer.status, answer.body);
        }
        Ok(())
    }
}

/// Submits and looks after what is open until the service is gone.
fn drive(caller: &Caller, submissions: &mut Vec<Submission>) {
    loop {
        let open = submissions.iter().filter(|submission| !submission.ended).count();
        if open < MOST_OPEN {
            let next = submissions.len();
            submissions.extend((next..next + 3).map(|n| Submission { n, run: None, ended: false }));
        }
        for submission in submissions.iter_mut().filter(|submission| !submission.ended) {
            if submission.pursue(caller).is_err() {
                return;
            }
        }
    }
}

#[test]
fn whatever_is_killed_when_each_submission_leads_to_one_run_that_ends_as_it_must() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let home = Home::new();
    let mut submissions = Vec::new();
    let (mut service, kills) = (Service::start(&home), kills());
    for nth in 0..kills {
        let caller = service.caller();
        let wait = Duration::from_millis(chance.random_range(20..600));
        let (service_too, database_too) = (!chance.random_bool(0.1), chance.random_bool(0.2));
        let mut driven = std::mem::take(&mut submissions);
        let driver = thread::spawn(move || {
            drive(&caller, &mut driven);
            driven
        });
        thread::park_timeout(wait);
        if database_too || !service_too {
            for pid in home.children("postgres") {
                // It may have ended just now.
                kill(pid, Signal::SIGKILL).ok();
            }
        }
        if !service_too {
            // The service goes on alone, and has to get its database back by itself.
            thread::park_timeout(Duration::from_millis(chance.random_range(20..1_500)));
        }
        service.kill();
        submissions = driver.join().expect("the driver saw nothing that must not be");
        service = Service::start(&home);
        if nth % 50 == 49 {
            println!("{} kills, {} submissions", nth + 1, submissions.len());
        }
    }
    let caller = service.caller();
    let give_up = clock::now() + LETTING_END;
    while let Some(open) = submissions.iter().find(|submission| !submission.ended) {
        if clock::now() > give_up {
            let path = format!("/api/v1/workflows/{}", open.run.as_deref().unwrap_or_default());
            let shown = caller.get(&path).map(|shown| shown.body);
            panic!("submission {} does not end as {}: {shown:?}", open.n, open.kind().ends);
        }
        for submission in submissions.iter_mut().filter(|submission| !submission.ended) {
            submission.pursue(&caller).expect("nobody kills the service any more");
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    check_host(&home, &submissions);
    check_journal(&home, submissions.len());
    check_log(&home, service);
    println!("{kills} kills, {} workflows: all ended as they must", submissions.len());
}

fn check_host(home: &Home, submissions: &[Submission]) {
    for submission in submissions {
        let n = submission.n;
        let path: PathBuf = home.data().join(format!("scratch/kills/{n}.txt"));
        let left = fs::read_to_string(&path).ok();
        let expected = submission.kind().leaves_file.filter(|stays| *stays).map(|_| format!("{n} by last"));
        assert_eq!(left, expected, "the file of submission {n}, run {:?}", submission.run);
    }
}

fn check_journal(home: &Home, submissions: usize) {
    let database = Database::on_socket(&home.data().join("postgres/socket"), 5433, "dsmil");
    let ask = |statement: &str| sql(&database, statement);
    assert_eq!(ask("SELECT count(*) FROM ledger.runs"), submissions.to_string(), "one run for each key");
    assert_eq!(ask("SELECT run_id FROM ledger.runs WHERE finished IS NULL"), "", "runs that did not end");
    let gaps = "SELECT run_id FROM state.journal GROUP BY run_id HAVING count(*) <> max(seq) + 1 OR min(seq) <> 0";
    assert_eq!(ask(gaps), "", "journals with gaps");
    let twice = "SELECT run_id, step, body->>'attempt' FROM state.journal \
                 WHERE kind IN ('attempt_done', 'attempt_lost') GROUP BY 1, 2, 3 HAVING count(*) > 1";
    assert_eq!(ask(twice), "", "attempts with two results");
    let unsung = "SELECT r.run_id FROM ledger.runs r LEFT JOIN state.journal j ON j.run_id = r.run_id \
                  AND j.kind = 'finished' GROUP BY 1 HAVING count(j.seq) = 0";
    assert_eq!(ask(unsung), "", "runs that ended without an event");
    let unequal = "SELECT (SELECT count(*) FROM state.journal WHERE audit_index IS NOT NULL) - count(*) \
                   FROM ledger.audit_entries WHERE convert_from(leaf, 'UTF8')::jsonb->>'subject' LIKE 'run/%'";
    assert_eq!(ask(unequal), "0", "each audited event has its leaf, and each leaf its event");
    let accepted = "SELECT convert_from(leaf, 'UTF8')::jsonb->>'subject' FROM ledger.audit_entries \
                    WHERE convert_from(leaf, 'UTF8')::jsonb->>'op' = 'run.accepted' GROUP BY 1 HAVING count(*) <> 1";
    assert_eq!(ask(accepted), "", "runs that were accepted twice");
}

fn check_log(home: &Home, service: Service) {
    assert_eq!(service.stop(), 0);
    let log = home.data().join("audit/log").display().to_string();
    let verdict = home.dsmil(&["audit", "verify", "--dir", &log, "--vkey", &format!("{log}/vkey")]);
    let said = String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success(), "{}{said}", String::from_utf8_lossy(&verdict.stdout));
}
