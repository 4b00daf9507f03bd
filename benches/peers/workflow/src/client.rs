//! What a client asks each subject for, and how it makes sure that the work was done.
use std::collections::BTreeMap;
use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::http::{Address, Answer, Connection, bad};

pub const STEPS: usize = 3;
pub const BRANCHES: usize = 16;
/// How long `Workload::Slow` sleeps after each step, in seconds.
pub const STEP_S: u64 = 2;

/// What a workflow is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Three steps, one after the other, each gives its input back.
    Sequence,
    /// Sixteen such steps at once.
    FanOut,
    /// Three steps, each followed by two seconds of durable sleep.
    Slow,
    /// One step that waits for a signal.
    Waiting,
}

/// How the end of a workflow is learnt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trips {
    /// Submitted, and answered when it has ended.
    One,
    /// Submitted, and asked for once it is accepted.
    Two,
}

#[derive(Clone)]
pub struct Client {
    pub address: Address,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Dsmil { trips: Trips, documents: Arc<Documents> },
    Dbos { next: Arc<AtomicUsize> },
}

struct Documents {
    sequence: String,
    fan_out: String,
    slow: String,
    waiting: String,
}

#[derive(Deserialize)]
struct Listed {
    workflows: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Open {
    open: usize,
}

#[derive(Deserialize)]
struct Accepted {
    workflow_id: String,
}

#[derive(Deserialize)]
struct Run {
    status: String,
    results: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Done {
    results: Vec<u64>,
}

impl Client {
    pub fn dsmil(address: Address, trips: Trips) -> Self {
        let echo = |n: usize| {
            let agent = ["TESTBED", "ORCHESTRATOR"][n % 2];
            json!({ "id": format!("step{n}"), "agent": agent, "tool": "cp.echo", "input": { "n": n } })
        };
        let sleep = |n: usize| json!({ "id": format!("sleep{n}"), "sleep": format!("{STEP_S}s") });
        let documents = Documents {
            sequence: document("sequence", "sequential", (1..=STEPS).map(echo).collect()),
            fan_out: document("fan-out", "parallel", (1..=BRANCHES).map(echo).collect()),
            slow: document("slow", "sequential", (1..=STEPS).flat_map(|n| [echo(n), sleep(n)]).collect()),
            waiting: document("waiting", "sequential", vec![json!({ "id": "signal", "wait_for": "go" })]),
        };
        Client { address, kind: Kind::Dsmil { trips, documents: Arc::new(documents) } }
    }

    pub fn dbos(address: Address) -> Self {
        Client { address, kind: Kind::Dbos { next: Arc::default() } }
    }

    /// Runs one workflow to its end. An error if it did not do all that it should have.
    pub async fn run(&self, connection: &mut Connection, workload: Workload) -> Result<()> {
        match &self.kind {
            Kind::Dsmil { trips: Trips::One, documents } => {
                let answer = connection.call("POST", "/api/v1/workflows?wait=30s", documents.of(workload)).await?;
                workload.check_run(&answer)
            }
            Kind::Dsmil { trips: Trips::Two, .. } => {
                let id = self.submit(connection, workload).await?;
                self.finished(connection, workload, &id).await
            }
            Kind::Dbos { .. } => {
                let path = self.path_of_next(workload, "run");
                let answer = connection.call("POST", &path, "").await?;
                workload.check_done(&answer)
            }
        }
    }

    /// The id of a workflow that is accepted, which means durable.
    pub async fn submit(&self, connection: &mut Connection, workload: Workload) -> Result<String> {
        match &self.kind {
            Kind::Dsmil { documents, .. } => {
                let answer = connection.call("POST", "/api/v1/workflows", documents.of(workload)).await?;
                accepted(&answer)
            }
            Kind::Dbos { .. } => {
                let path = self.path_of_next(workload, "start");
                let answer = connection.call("POST", &path, "").await?;
                accepted(&answer)
            }
        }
    }

    /// Waits for the end of a workflow.
    pub async fn finished(&self, connection: &mut Connection, workload: Workload, id: &str) -> Result<()> {
        match &self.kind {
            Kind::Dsmil { .. } => {
                let path = format!("/api/v1/workflows/{id}?wait=30s");
                workload.check_run(&connection.call("GET", &path, "").await?)
            }
            Kind::Dbos { .. } => {
                let path = format!("/{}/{id}/wait", workload.name());
                workload.check_done(&connection.call("POST", &path, "").await?)
            }
        }
    }

    /// Whether any workflow has not ended.
    pub async fn any_open(&self, connection: &mut Connection) -> Result<bool> {
        match &self.kind {
            Kind::Dsmil { .. } => {
                for status in ["running", "waiting", "paused"] {
                    let path = format!("/api/v1/workflows?status={status}&limit=1");
                    let listed: Listed = connection.call("GET", &path, "").await?.read(200)?;
                    if !listed.workflows.is_empty() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Kind::Dbos { .. } => Ok(connection.call("POST", "/open", "").await?.read::<Open>(200)?.open > 0),
        }
    }

    /// DBOS has the caller name the workflow.
    fn path_of_next(&self, workload: Workload, mode: &str) -> String {
        let n = match &self.kind {
            Kind::Dbos { next } => next.fetch_add(1, Ordering::Relaxed),
            Kind::Dsmil { .. } => 0,
        };
        format!("/{}/{}-{n}/{mode}", workload.name(), workload.name())
    }
}

impl Documents {
    fn of(&self, workload: Workload) -> &str {
        match workload {
            Workload::Sequence => &self.sequence,
            Workload::FanOut => &self.fan_out,
            Workload::Slow => &self.slow,
            Workload::Waiting => &self.waiting,
        }
    }
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Workload::Sequence => "sequence",
            Workload::FanOut => "fan-out",
            Workload::Slow => "slow",
            Workload::Waiting => "waiting",
        }
    }

    /// How many of its steps have a result.
    fn results(self) -> usize {
        match self {
            Workload::Sequence | Workload::Slow => STEPS,
            Workload::FanOut => BRANCHES,
            Workload::Waiting => 0,
        }
    }

    fn check_run(self, answer: &Answer<'_>) -> Result<()> {
        let run: Run = answer.read(200)?;
        let whole = run.status == "succeeded" && run.results.len() == self.results();
        if whole { Ok(()) } else { Err(bad(format!("not what was asked for: {}", answer.text()))) }
    }

    fn check_done(self, answer: &Answer<'_>) -> Result<()> {
        let done: Done = answer.read(200)?;
        let whole = done.results.iter().copied().eq(1..=self.results() as u64);
        if whole { Ok(()) } else { Err(bad(format!("not what was asked for: {}", answer.text()))) }
    }
}

fn accepted(answer: &Answer<'_>) -> Result<String> {
    answer.read(202).map(|Accepted { workflow_id }| workflow_id)
}

fn document(name: &str, mode: &str, steps: Vec<Value>) -> String {
    json!({ "name": name, "mode": mode, "steps": steps }).to_string()
}
