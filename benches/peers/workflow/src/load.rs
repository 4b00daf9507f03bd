//! Closed-loop load: each client asks again as soon as it was answered. What comes from all of them, and how it looks.
use std::cell::{Cell, RefCell};
use std::io::Result;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::client::{Client, Workload};
use crate::http::Connection;

/// How long is asked before it counts, and how long it counts.
#[derive(Clone, Copy)]
pub struct Span {
    pub warm_up: Duration,
    pub measured: Duration,
}

/// What came of one turn.
pub struct Figures {
    /// Workflows that were run, those that do not count included.
    pub all: usize,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// One turn: so many clients, each with a connection of its own. The first fault of any of them ends it.
pub async fn turn(client: &Client, workload: Workload, clients: usize, span: Span) -> Result<Figures> {
    let times = Rc::new(RefCell::new(Vec::new()));
    let (all_run, fault) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
    let begin = Instant::now() + span.warm_up;
    let end = begin + span.measured;
    let all = LocalSet::new();
    for _ in 0..clients {
        let (times, all_run, fault, client) =
            (Rc::clone(&times), Rc::clone(&all_run), Rc::clone(&fault), client.clone());
        all.spawn_local(async move {
            let work = async {
                let mut connection = Connection::open(&client.address).await?;
                loop {
                    let asked = Instant::now();
                    if asked >= end {
                        return Ok(());
                    }
                    client.run(&mut connection, workload).await?;
                    let answered = Instant::now();
                    all_run.set(all_run.get() + 1);
                    if asked >= begin && answered <= end {
                        times.borrow_mut().push(answered - asked);
                    }
                }
            };
            let worked: Result<()> = work.await;
            if let Err(cause) = worked {
                fault.set(Some(cause));
            }
        });
    }
    all.await;
    if let Some(fault) = fault.take() {
        return Err(fault);
    }
    let mut times = times.take();
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len().saturating_sub(1) as f64 * share).round() as usize;
        times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    let (p50_ms, p99_ms) = (at(0.5), at(0.99));
    Ok(Figures { all: all_run.get(), per_second: times.len() as f64 / span.measured.as_secs_f64(), p50_ms, p99_ms })
}
