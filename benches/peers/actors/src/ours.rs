//! A supervised child: each request is admitted under a bound, watched by deadline and breaker, and a panic is isolated.
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Handler, Message};
use dsmil::actors::child::{ChildOptions, ChildSpec, Place};
use dsmil::actors::context::Ctx;
use dsmil::actors::home::Home;
use dsmil::actors::root::{RootHandle, start_root};
use dsmil::actors::slot::Ref;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::messages::port::{AskError, Port};
use dsmil::messages::supervision::ChildState;
use dsmil::resilience::backoff::Backoff;
use dsmil::resilience::breaker::BreakerOptions;
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use tokio::task::yield_now;

use crate::figures::{ASKS, Asks, Figure, IDLE, RESTARTS, TELLS, each, quantiles, rate, resident};

#[derive(Message)]
#[rtype(result = "u64")]
struct Count;

#[derive(Message)]
#[rtype(result = "u64")]
struct Panic;

#[derive(Message)]
#[rtype(result = "u64")]
struct Block(Duration);

#[derive(Default)]
struct Child(u64);

impl Actor for Child {
    type Context = Ctx<Self>;
}

impl Handler<Count> for Child {
    type Result = u64;
    fn handle(&mut self, Count: Count, _: &mut Ctx<Self>) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl Handler<Panic> for Child {
    type Result = u64;
    fn handle(&mut self, Panic: Panic, _: &mut Ctx<Self>) -> u64 {
        panic!("told to")
    }
}

impl Handler<Block> for Child {
    type Result = u64;
    fn handle(&mut self, Block(time): Block, _: &mut Ctx<Self>) -> u64 {
        std::thread::sleep(time);
        self.0
    }
}

fn home(elsewhere: bool) -> Arc<Home> {
    match elsewhere {
        true => Home::start("bench").expect("a thread"),
        false => Home::given("bench", actix_rt::Arbiter::current()),
    }
}

/// The usual rules, but that a child comes back at once and as often as it falls.
fn rules(home: Arc<Home>) -> ChildOptions {
    let breaker = BreakerOptions { in_a_row: u32::MAX, min_calls: usize::MAX, ..BreakerOptions::default() };
    let backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
    ChildOptions { cap: 2 * TELLS, breaker: Some(breaker), backoff, ..ChildOptions::at(Place::Shared(home)) }
}

fn tree(children: Vec<ChildSpec>) -> RootHandle {
    let intensity = Intensity { max: usize::MAX, within: Duration::from_secs(1) };
    let spec = SupervisorSpec { name: "root".to_owned(), strategy: Strategy::OneForOne, intensity, children };
    start_root(spec, |_| {}).expect("a tree")
}

async fn up(child: &Ref<Child>) {
    while child.state() != ChildState::Up {
        yield_now().await;
    }
}

async fn start(rules: ChildOptions) -> (Ref<Child>, RootHandle) {
    let (spec, child) = ChildSpec::worker("child", rules, Child::default);
    let root = tree(vec![spec]);
    up(&child).await;
    (child, root)
}

pub async fn ask(elsewhere: bool) -> Figure {
    let (child, _root) = start(rules(home(elsewhere))).await;
    let port = child.port::<Count>();
    let mut asks = Asks::new();
    while asks.wants_more() {
        let began = Instant::now();
        black_box(port.ask(Count).await.expect("an answer"));
        asks.took(began.elapsed());
    }
    asks.figure()
}

pub async fn tell(elsewhere: bool) -> Figure {
    let (child, _root) = start(rules(home(elsewhere))).await;
    let port = child.port::<Count>();
    port.ask(Count).await.expect("an answer");
    let began = Instant::now();
    (0..TELLS).for_each(|_| port.try_tell(Count).expect("admitted"));
    port.ask(Count).await.expect("an answer");
    rate(began)
}

pub async fn restart(elsewhere: bool) -> Figure {
    let (child, _root) = start(rules(home(elsewhere))).await;
    let (count, panic) = (child.port::<Count>(), child.port::<Panic>());
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        count.ask(Count).await.expect("an answer");
        let began = Instant::now();
        assert!(panic.ask(Panic).await.is_err());
        while !matches!(count.ask(Count).await, Ok(1)) {
            yield_now().await;
        }
        times.push(began.elapsed());
    }
    quantiles(times, &[0.5, 0.99, 1.0], 1e3)
}

pub async fn refusal() -> Figure {
    let breaker = BreakerOptions { in_a_row: 1, ..BreakerOptions::default() };
    let (child, _root) = start(ChildOptions { breaker: Some(breaker), ..rules(home(true)) }).await;
    assert!(child.port::<Panic>().ask(Panic).await.is_err());
    while child.state() != ChildState::Open {
        yield_now().await;
    }
    let port: Port<Count> = child.port();
    let mut times = Vec::with_capacity(ASKS);
    for _ in 0..ASKS {
        let began = Instant::now();
        let refused = port.ask(Count).await;
        times.push(began.elapsed());
        assert!(matches!(refused, Err(AskError::Unavailable { .. })));
    }
    quantiles(times, &[0.5, 0.99, 0.999], 1.0)
}

pub async fn memory() -> Figure {
    let home = home(true);
    let before = resident();
    let (children, refs): (Vec<_>, Vec<_>) =
        (0..IDLE).map(|_| ChildSpec::worker("child", rules(Arc::clone(&home)), Child::default)).unzip();
    let _root = tree(children);
    for child in &refs {
        up(child).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    each(before)
}

pub async fn stall() -> Figure {
    const LIMIT: Duration = Duration::from_millis(300);
    let mut times = Vec::new();
    for _ in 0..5 {
        let rules = ChildOptions { stall: Some(LIMIT), ..rules(home(true)) };
        let (child, _root) = start(rules).await;
        let count: Port<Count> = child.port();
        count.ask(Count).await.expect("an answer");
        let began = Instant::now();
        child.port::<Block>().try_tell(Block(Duration::from_secs(2))).expect("admitted");
        while !matches!(count.ask_within(Count, Duration::from_millis(5)).await, Ok(1)) {
            yield_now().await;
        }
        times.push(began.elapsed());
    }
    quantiles(times, &[0.5, 1.0], 1e6)
}

pub async fn neighbours() -> Figure {
    const HOMES: usize = 8;
    let homes: Vec<_> = (0..HOMES).map(|_| home(true)).collect();
    let (children, refs): (Vec<_>, Vec<_>) = (0..80)
        .map(|number| {
            ChildSpec::worker(format!("agent-{number}"), rules(Arc::clone(&homes[number % HOMES])), Child::default)
        })
        .unzip();
    let _root = tree(children);
    for child in &refs {
        up(child).await;
    }
    // Agent 0 blocks home 0 over and over.
    let block: Port<Block> = refs[0].port();
    let blocking = actix_rt::spawn(async move {
        loop {
            if let Err(fault) = block.ask(Block(Duration::from_millis(100))).await {
                panic!("{fault}");
            }
        }
    });
    let others: Vec<Port<Count>> =
        refs.iter().enumerate().filter(|(number, _)| number % HOMES != 0).map(|(_, child)| child.port()).collect();
    let mut times = Vec::new();
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        for port in &others {
            let began = Instant::now();
            port.ask(Count).await.expect("an answer");
            times.push(began.elapsed());
        }
    }
    blocking.abort();
    quantiles(times, &[0.5, 0.99], 1e3)
}
