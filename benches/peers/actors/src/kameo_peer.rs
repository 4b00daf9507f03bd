//! kameo: it isolates panics, bounds mailboxes and restarts children.
use std::hint::black_box;
use std::time::{Duration, Instant};

use kameo::actor::{ActorRef, Spawn as _};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::supervision::RestartPolicy;

use crate::figures::{Asks, Figure, IDLE, RESTARTS, TELLS, each, quantiles, rate, resident};

struct Count;
struct Panic;

#[derive(Clone, Default)]
struct Counter(u64);

impl kameo::Actor for Counter {
    type Args = Self;
    type Error = Infallible;
    async fn on_start(counter: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(counter)
    }
}

impl Message<Count> for Counter {
    type Reply = u64;
    async fn handle(&mut self, Count: Count, _: &mut Context<Self, u64>) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl Message<Panic> for Counter {
    type Reply = ();
    async fn handle(&mut self, Panic: Panic, _: &mut Context<Self, ()>) {
        panic!("told to")
    }
}

struct Supervisor;

impl kameo::Actor for Supervisor {
    type Args = ();
    type Error = Infallible;
    async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Supervisor)
    }
}

pub async fn ask() -> Figure {
    let actor = Counter::spawn(Counter::default());
    let mut asks = Asks::new();
    while asks.wants_more() {
        let began = Instant::now();
        black_box(actor.ask(Count).await.expect("an answer"));
        asks.took(began.elapsed());
    }
    asks.figure()
}

pub async fn tell() -> Figure {
    let actor = Counter::spawn_with_mailbox(Counter::default(), kameo::mailbox::bounded(64));
    let began = Instant::now();
    for _ in 0..TELLS {
        actor.tell(Count).await.expect("sent");
    }
    actor.ask(Count).await.expect("an answer");
    rate(began)
}

pub async fn restart() -> Figure {
    let supervisor = Supervisor::spawn(());
    let actor = Counter::supervise(&supervisor, Counter::default())
        .restart_policy(RestartPolicy::Permanent)
        .restart_limit(u32::MAX, Duration::from_secs(1))
        .spawn()
        .await;
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        actor.ask(Count).await.expect("an answer");
        let began = Instant::now();
        assert!(actor.ask(Panic).await.is_err());
        while !matches!(actor.ask(Count).await, Ok(1)) {
            tokio::task::yield_now().await;
        }
        times.push(began.elapsed());
    }
    quantiles(times, &[0.5, 0.99, 1.0], 1e3)
}

pub async fn memory() -> Figure {
    let before = resident();
    let actors: Vec<_> = (0..IDLE).map(|_| Counter::spawn(Counter::default())).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let figure = each(before);
    drop(actors);
    figure
}
