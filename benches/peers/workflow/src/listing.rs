//! What it takes to find runs among very many: each has really been run.
use std::io::Result;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::client::Trips;
use crate::dsmil::Dsmil;
use crate::http::{Connection, bad};

const RUNS: usize = 100_000;
const SUBMITTERS: usize = 64;
/// One of so many waits for a signal, the others succeed.
const WAITS: usize = 1_000;
const ASKS: usize = 300;

/// The list that is asked for, and how many runs the first page must have.
const LISTS: [(&str, &str, usize); 10] = [
    ("the newest", "", 50),
    ("by state, most of them", "status=succeeded", 50),
    ("by state, one of 1,000", "status=waiting", 50),
    ("by name, one of 20", "name=list-7", 50),
    ("by agent, half of them", "agent=TESTBED", 50),
    ("by label, one of 100", "label=team:42", 50),
    ("by label, one of 10,000", "label=place:4242", RUNS / 10_000),
    ("by state and label", "status=succeeded&label=team:42", 50),
    ("by state, name, agent and label", "status=succeeded&name=list-2&agent=TESTBED&label=team:42", 50),
    ("500 at once", "limit=500", 500),
];

#[derive(Deserialize)]
struct Page {
    workflows: Vec<IgnoredAny>,
    next: Option<String>,
}

pub async fn list(dsmil: &Dsmil) -> Result<()> {
    println!("\nLists of {RUNS} runs that were all run, {ASKS} times each, one after the other");
    let address = dsmil.client(Trips::Two)?.address;
    let begun = Instant::now();
    let all = (0..SUBMITTERS).map(|place| {
        let address = &address;
        async move {
            let mut connection = Connection::open(address).await?;
            for n in (place..RUNS).step_by(SUBMITTERS) {
                submit(&mut connection, n).await?;
            }
            Ok::<_, std::io::Error>(())
        }
    });
    futures_util::future::try_join_all(all).await?;
    println!("  run in {:.0} s", begun.elapsed().as_secs_f64());
    println!("  {:<34} {:>9} {:>9} {:>9}", "milliseconds", "p50", "p95", "p99");
    let mut connection = Connection::open(&address).await?;
    for (what, query, count) in LISTS {
        let mut times = Vec::with_capacity(ASKS);
        for _ in 0..ASKS {
            let (page, took) = ask(&mut connection, query).await?;
            if page.workflows.len() != count {
                return Err(bad(format!("{} runs {what}, not {count}", page.workflows.len())));
            }
            times.push(took);
        }
        print(what, &mut times);
    }
    let (mut times, mut cursor) = (Vec::new(), String::new());
    for _ in 0..ASKS {
        let (page, took) = ask(&mut connection, &cursor).await?;
        times.push(took);
        cursor = format!("cursor={}", page.next.ok_or_else(|| bad("the list ends too soon"))?);
    }
    print("page after page", &mut times);
    Ok(())
}

async fn submit(connection: &mut Connection, n: usize) -> Result<()> {
    let waits = n.is_multiple_of(WAITS);
    let agent = ["TESTBED", "ORCHESTRATOR"][n % 2];
    let step = match waits {
        true => json!({ "id": "signal", "wait_for": "go" }),
        false => json!({ "id": "echo", "agent": agent, "tool": "cp.echo" }),
    };
    let document = json!({
        "name": format!("list-{}", n % 20),
        "labels": { "team": (n % 100).to_string(), "place": (n % 10_000).to_string() },
        "steps": [step],
    });
    let (path, status) = match waits {
        true => ("/api/v1/workflows", 202),
        false => ("/api/v1/workflows?wait=30s", 200),
    };
    connection.call("POST", path, &document.to_string()).await?.read::<IgnoredAny>(status).map(drop)
}

async fn ask(connection: &mut Connection, query: &str) -> Result<(Page, Duration)> {
    let path = format!("/api/v1/workflows?{query}");
    let asked = Instant::now();
    let answer = connection.call("GET", &path, "").await?;
    let took = asked.elapsed();
    Ok((answer.read(200)?, took))
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    println!("  {what:<34} {:>9.2} {:>9.2} {:>9.2}", at(0.5), at(0.95), at(0.99));
}
