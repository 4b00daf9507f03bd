//! Random schedules of failures, crashes, bursts and pauses: what must hold whatever happens.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use dsmil::actors::child::ChildOptions;
use dsmil::clock;
use dsmil::messages::port::AskError;
use dsmil::messages::supervision::Transition;
use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::time::sleep;

use super::worker::*;

#[derive(Debug, Clone)]
enum Op {
    Sleep(u64),
    DependencyDown(bool),
    Crash,
    Fail,
    Call,
    BadCall,
    /// Requests at once; the last of them lose patience.
    Burst {
        requests: usize,
        patience: u64,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0u64..70_000).prop_map(Op::Sleep),
        3 => any::<bool>().prop_map(Op::DependencyDown),
        2 => Just(Op::Crash),
        1 => Just(Op::Fail),
        12 => Just(Op::Call),
        1 => Just(Op::BadCall),
        2 => (1usize..25, 1u64..10).prop_map(|(requests, patience)| Op::Burst { requests, patience }),
    ];
    prop::collection::vec(op, 1..80)
}

const CAP: usize = 8;

/// What callers were told about the time of their return.
#[derive(Default)]
struct Promise(Option<Instant>);

impl Promise {
    /// Takes in the outcome of a request: was it executed, or refused until when?
    fn check<T: std::fmt::Debug>(&mut self, reply: &Result<T, AskError>) {
        let now = clock::now();
        match reply {
            Err(AskError::Unavailable { retry_after, reason }) if reason == "circuit open" => {
                assert!(*retry_after <= s(60), "{retry_after:?}");
                let until = now + *retry_after;
                if let Some(promised) = self.0.filter(|promised| *promised > now) {
                    assert_eq!(until, promised, "a promise is neither extended nor shortened");
                }
                self.0 = Some(until);
            }
            Err(AskError::Unavailable { .. } | AskError::Overloaded) => {}
            Ok(_) | Err(AskError::Timeout | AskError::Lost) => {
                assert!(self.0.is_none_or(|promised| promised <= now), "executed while open");
            }
        }
    }
}

async fn run(ops: Vec<Op>) {
    let (tree, worker, board) = grow_one(ChildOptions { cap: CAP, ..options() }).await;
    let mut promise = Promise::default();
    for op in ops {
        match op {
            Op::Sleep(millis) => sleep(ms(millis)).await,
            Op::DependencyDown(down) => board.failing.store(down, SeqCst),
            Op::Crash => promise.check(&worker.port().ask(Boom).await),
            Op::Fail => promise.check(&worker.port().ask(Fail("drill")).await),
            Op::Call => promise.check(&worker.port().ask(Call).await),
            Op::BadCall => promise.check(&worker.port().ask(BadCall).await),
            Op::Burst { requests, patience } => {
                let slow = worker.port::<SlowCall>();
                let replies = join_all((0..requests).map(|_| slow.ask_within(SlowCall(ms(5)), ms(patience)))).await;
                let executed = replies.iter().filter(|reply| !matches!(reply, Err(e) if e.certainly_not_executed()));
                assert!(executed.count() <= CAP, "{replies:?}");
            }
        }
        sleep(ms(1)).await;
        assert!(worker.queue() <= CAP);
    }
    // liveness: with all well again the child always comes back
    board.failing.store(false, SeqCst);
    let healed = clock::now();
    while worker.port().ask(Call).await != Ok(Ok(1)) {
        assert!(clock::now() - healed < s(200), "it never came back: {:?}", tree.news());
        sleep(ms(500)).await;
    }
    assert!(board.most_working.load(SeqCst) <= 2 * CAP, "at most two lives' worth of work can overlap");
    let (events, lives) = (Arc::clone(&tree.events), worker.epoch());
    let farewells = tree.root.shutdown(s(10)).await;
    assert_eq!(farewells.left_behind, [""; 0]);
    let mut ends = BTreeMap::new();
    for event in events.lock().iter().filter(|event| event.path == "root/a") {
        if matches!(event.what, Transition::Exited { .. } | Transition::Stopped | Transition::Abandoned) {
            *ends.entry(event.epoch).or_insert(0) += 1;
        }
    }
    let once: BTreeMap<u64, i32> = (1..=lives).map(|life| (life, 1)).collect();
    assert_eq!(ends, once, "every life ends exactly once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Never executed while open, promises kept, the cap never exceeded, one end per life, and always back.
    #[test]
    fn random_schedules_keep_the_promises(ops in ops()) {
        paused(run(ops));
    }
}
