//! Faults on purpose: each does what it says, to that life alone, and the breaker and the watchdog see it.
use std::sync::Arc;

use actix::System;
use dsmil::actors::child::{ChildOptions, Place};
use dsmil::actors::home::Home;
use dsmil::clock;
use dsmil::messages::port::AskError;
use dsmil::messages::supervision::{ChildState, Describe, Fault, Intervened, Intervention};
use dsmil::resilience::breaker::BreakerOptions;
use dsmil::resilience::roster::Strategy;
use tokio::time::sleep;

use super::stuck::until;
use super::worker::*;

#[test]
fn requests_fail_as_often_as_was_said_and_count_as_failures() {
    paused(async {
        let (tree, worker, _) = grow_one(options()).await;
        assert_eq!(tree.intervene("a", Intervention::Inject(Fault::Fail { calls: 2 })).await, Intervened::Done);
        let call = worker.port::<Call>();
        let replies = [call.ask(Call).await, call.ask(Call).await, call.ask(Call).await];
        assert_eq!(replies, [Err(AskError::Lost), Err(AskError::Lost), Ok(Ok(1))]);
        tree.intervene("a", Intervention::Inject(Fault::Fail { calls: 1_000 })).await;
        while worker.state() == ChildState::Up {
            assert_eq!(call.ask(Call).await, Err(AskError::Lost));
            sleep(ms(1)).await;
        }
        assert_eq!(tree.news().last().map(String::as_str), Some("root/a#1 opened"));
        assert_eq!(worker.epoch(), 1, "a failed request ends nobody");
    });
}

#[test]
fn replies_come_later_and_slow_ones_open_the_breaker() {
    paused(async {
        let breaker = Some(BreakerOptions { slow: s(2), min_calls: 4, ..BreakerOptions::default() });
        let (tree, worker, _) = grow_one(ChildOptions { breaker, ..options() }).await;
        tree.intervene("a", Intervention::Inject(Fault::Slow { by: s(3), calls: 4 })).await;
        for _ in 0..4 {
            let began = clock::now();
            assert_eq!(worker.port().ask(Call).await, Ok(Ok(1)));
            assert_eq!(clock::now() - began, s(3));
        }
        sleep(ms(1)).await;
        assert_eq!(refused(worker.port().ask(Call).await).0, "circuit open");
    });
}

#[test]
fn what_is_left_of_a_fault_ends_with_the_life_that_was_told() {
    paused(async {
        let (tree, worker, _) = grow_one(options()).await;
        tree.intervene("a", Intervention::Inject(Fault::Fail { calls: 1_000 })).await;
        assert_eq!(worker.port().ask(Call).await, Err(AskError::Lost));
        assert_eq!(tree.intervene("a", Intervention::Restart).await, Intervened::Done);
        sleep(ms(1)).await;
        assert_eq!((worker.port().ask(Call).await, worker.epoch()), (Ok(Ok(1)), 2));
        let node = tree.root.describe.ask(Describe).await.expect("a tree");
        assert_eq!(node.children[0].last_exit.as_deref(), Some("restarted by an operator"));
        tree.intervene("a", Intervention::Inject(Fault::Panic)).await;
        sleep(ms(1)).await;
        let between = tree.intervene("a", Intervention::Inject(Fault::Panic)).await;
        assert_eq!(between, Intervened::NotAlive, "it waits for its restart");
        let node = tree.root.describe.ask(Describe).await.expect("a tree");
        assert_eq!(node.children[0].last_exit.as_deref(), Some("panicked: drill: root/a was told to panic"));
    });
}

/// In real time, for a thread is held.
#[test]
fn a_child_that_holds_its_thread_is_given_up_like_any_other() {
    System::new().block_on(async {
        let board = Arc::<Board>::default();
        let home = Home::start("drilled").expect("a thread");
        let (a, worker) =
            worker_with("a", ChildOptions { stall: Some(ms(200)), ..ChildOptions::at(Place::Shared(home)) }, &board);
        let tree = grow(supervisor("root", Strategy::OneForOne, 3, vec![a])).await;
        until("the start", async || worker.port().ask(Count).await == Ok(1)).await;
        tree.intervene("a", Intervention::Inject(Fault::Stall { time: s(1) })).await;
        until("the move", async || worker.epoch() == 2).await;
        until("service", async || worker.port().ask_within(Count, ms(100)).await.is_ok()).await;
        assert!(tree.news().iter().any(|line| line.starts_with("root/a#1 exited: held its thread for")));
    });
}

/// Kills: a drill that spoils what monitors look at, or what an actor says to itself.
#[test]
fn looks_and_what_an_actor_says_to_itself_take_no_part() {
    paused(async {
        let (tree, worker, _) = grow_one(options()).await;
        tree.intervene("a", Intervention::Inject(Fault::Fail { calls: 1 })).await;
        for _ in 0..3 {
            assert_eq!(worker.port().ask(Look).await, Ok(Seen));
            assert_eq!(worker.port().ask(LookInVain).await, Ok(Ok(Seen)));
        }
        assert_eq!(worker.port().ask(Call).await, Err(AskError::Lost), "the fault was kept for a request");
    });
}
