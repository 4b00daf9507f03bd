//! What supervision costs a request: the same question to a supervised actor, to a plain actix actor and to a bare
//! tokio task, in turns of one run on one thread. Prints p50 and p99 in nanoseconds and the ratio to plain actix.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends there")]
use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use dsmil::actors::child::{ChildOptions, ChildSpec, Place};
use dsmil::actors::context::Ctx;
use dsmil::actors::home::Home;
use dsmil::actors::root::start_root_at;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::clock;
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use tokio::sync::{mpsc, oneshot};

const ROUNDS: usize = 20;
const ASKS: usize = 5_000;

#[derive(Message)]
#[rtype(result = "u64")]
struct Double(u64);

struct Supervised;

impl Actor for Supervised {
    type Context = Ctx<Self>;
}

impl Handler<Double> for Supervised {
    type Result = u64;
    fn handle(&mut self, Double(number): Double, _: &mut Ctx<Self>) -> u64 {
        number * 2
    }
}

struct Plain;

impl Actor for Plain {
    type Context = Context<Self>;
}

impl Handler<Double> for Plain {
    type Result = u64;
    fn handle(&mut self, Double(number): Double, _: &mut Context<Self>) -> u64 {
        number * 2
    }
}

/// Asks, checks the answer, and notes how long it took.
async fn time(into: &mut Vec<Duration>, ask: impl AsyncFn(u64) -> u64) {
    for number in 0..ASKS as u64 {
        let began = clock::now();
        let answer = ask(number).await;
        into.push(clock::now() - began);
        assert_eq!(answer, number * 2);
    }
}

fn main() {
    actix_rt::System::new().block_on(async {
        let home = Home::given("bench", actix_rt::Arbiter::current());
        let (spec, supervised) =
            ChildSpec::worker("supervised", ChildOptions::at(Place::Shared(home.clone())), || Supervised);
        let root = SupervisorSpec {
            name: "root".to_owned(),
            strategy: Strategy::OneForOne,
            intensity: Intensity { max: 3, within: Duration::from_secs(60) },
            children: vec![spec],
        };
        let root = start_root_at(home, root, |_| {}).expect("the tree starts");
        let port = supervised.port::<Double>();
        while port.ask(Double(1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let plain = Plain.start();
        let (task, mut inbox) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(64);
        actix_rt::spawn(async move {
            while let Some((number, reply)) = inbox.recv().await {
                reply.send(number * 2).expect("the asker waits");
            }
        });

        let (mut ours, mut actix, mut tokio) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            time(&mut ours, async |number| port.ask(Double(number)).await.expect("answered")).await;
            time(&mut actix, async |number| plain.send(Double(number)).await.expect("answered")).await;
            let ask = async |number| {
                let (reply, answer) = oneshot::channel();
                task.send((number, reply)).await.expect("the task lives");
                answer.await.expect("answered")
            };
            time(&mut tokio, ask).await;
        }
        let base = quantile(&mut actix, 0.50);
        println!("{:<24} {:>9} {:>9} {:>12}", "ask on one thread", "p50 ns", "p99 ns", "p50 / actix");
        for (name, times) in
            [("dsmil, supervised", &mut ours), ("actix, plain", &mut actix), ("tokio, mpsc + oneshot", &mut tokio)]
        {
            let (p50, p99) = (quantile(times, 0.50), quantile(times, 0.99));
            println!("{name:<24} {p50:>9} {p99:>9} {:>12.2}", p50 as f64 / base as f64);
        }
        let left = root.shutdown(Duration::from_secs(5)).await.left_behind;
        assert!(left.is_empty(), "{left:?}");
    });
}

fn quantile(times: &mut [Duration], q: f64) -> u128 {
    times.sort();
    times[((times.len() - 1) as f64 * q) as usize].as_nanos()
}
