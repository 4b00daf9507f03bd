//! The breaker of a child, seen by its callers; and how many of them are let in.
use std::sync::atomic::Ordering::SeqCst;

use actix::System;
use dsmil::actors::child::ChildOptions;
use dsmil::actors::slot::Ref;
use dsmil::clock;
use dsmil::messages::port::AskError;
use dsmil::messages::supervision::ChildState;
use dsmil::resilience::backoff::Backoff;
use futures_util::future::join_all;
use tokio::time::sleep;

use super::worker::*;

/// Makes the breaker of a failing worker open.
async fn trip(worker: &Ref<Worker>, board: &Board) {
    board.failing.store(true, SeqCst);
    for _ in 0..5 {
        assert_eq!(worker.port().ask(Call).await, Ok(Err(CallError::Down)));
    }
    sleep(ms(1)).await;
    assert_eq!(worker.state(), ChildState::Open);
}

/// Kills: a half-open breaker that lets all in.
#[test]
fn one_probe_after_a_minute_decides_whether_callers_come_back() {
    paused(async {
        let (tree, worker, board) = grow_one(options()).await;
        let call = worker.port::<Call>();
        tree.news();
        trip(&worker, &board).await;
        let asked = clock::now();
        let (reason, retry_after) = refused(call.ask(Call).await);
        assert_eq!((reason.as_str(), clock::now() - asked), ("circuit open", ms(0)), "refused at once");
        assert!((s(59)..=s(60)).contains(&retry_after), "{retry_after:?}");
        sleep(retry_after + ms(2)).await;
        // the probe fails: another minute
        assert_eq!(call.ask(Call).await, Ok(Err(CallError::Down)));
        sleep(ms(1)).await;
        assert_eq!(refused(call.ask(Call).await).0, "circuit open");
        sleep(s(60)).await;
        // the probe takes its time, and all others are refused meanwhile
        board.failing.store(false, SeqCst);
        let slow = worker.port::<SlowCall>();
        let (probe, others) = tokio::join!(slow.ask(SlowCall(ms(50))), join_all((0..20).map(|_| call.ask(Call))));
        assert_eq!(probe, Ok(Ok(1)));
        for other in others {
            assert_eq!(refused(other).0, "half-open: another request is the probe");
        }
        sleep(ms(1)).await;
        assert_eq!(call.ask(Call).await, Ok(Ok(1)));
        let lines = ["opened", "half-open", "opened", "half-open", "closed"].map(|what| format!("root/a#1 {what}"));
        assert_eq!(tree.news(), lines);
    });
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    paused(async {
        let (_tree, worker, board) = grow_one(options()).await;
        for n in 0..19 {
            board.failing.store(n % 5 != 4, SeqCst);
            assert!(worker.port().ask(Call).await.is_ok());
        }
        sleep(ms(1)).await;
        assert_eq!(worker.state(), ChildState::Up, "sixteen failures, never five in a row, less than twenty calls");
        board.failing.store(true, SeqCst);
        assert!(worker.port().ask(Call).await.is_ok());
        sleep(ms(1)).await;
        assert_eq!(worker.state(), ChildState::Open, "the twentieth call makes the share count");
    });
}

#[test]
fn slow_answers_open_it_too() {
    paused(async {
        let (_tree, worker, _) = grow_one(options()).await;
        let calls = (0..20).map(|_| async { worker.port().ask(SlowCall(ms(2500))).await });
        assert!(join_all(calls).await.into_iter().all(|reply| reply == Ok(Ok(1))));
        sleep(ms(1)).await;
        assert_eq!(worker.state(), ChildState::Open);
    });
}

#[test]
fn the_mistakes_of_callers_do_not_count_not_even_as_a_probe() {
    paused(async {
        let (_tree, worker, board) = grow_one(options()).await;
        for _ in 0..50 {
            assert_eq!(worker.port().ask(BadCall).await, Ok(Err(CallError::Caller)));
        }
        sleep(ms(1)).await;
        assert_eq!(worker.state(), ChildState::Up);
        trip(&worker, &board).await;
        sleep(s(60)).await;
        board.failing.store(false, SeqCst);
        for _ in 0..3 {
            assert_eq!(worker.port().ask(BadCall).await, Ok(Err(CallError::Caller)));
            sleep(ms(1)).await;
            assert_eq!(worker.state(), ChildState::HalfOpen, "the next caller may probe");
        }
        assert_eq!(worker.port().ask(Call).await, Ok(Ok(1)));
        sleep(ms(1)).await;
        assert_eq!(worker.state(), ChildState::Up);
    });
}

/// Kills: a probe lost for ever.
#[test]
fn a_probe_that_never_answers_opens_it_again() {
    paused(async {
        let (_tree, worker, board) = grow_one(ChildOptions { deadline: None, ..options() }).await;
        trip(&worker, &board).await;
        board.failing.store(false, SeqCst);
        sleep(s(60)).await;
        assert_eq!(worker.port().ask_within(SlowCall(s(3600)), s(1)).await, Err(AskError::Timeout));
        assert!(refused(worker.port().ask(Call).await).0.starts_with("half-open"));
        sleep(s(10)).await;
        assert_eq!(refused(worker.port().ask(Call).await).0, "circuit open");
        sleep(s(60)).await;
        assert_eq!(worker.port().ask(Call).await, Ok(Ok(1)));
    });
}

/// Kills: a probe lost for ever, this time before it was handled.
#[test]
fn a_probe_whose_caller_has_gone_is_given_to_the_next() {
    paused(async {
        let (_tree, worker, board) = grow_one(options()).await;
        trip(&worker, &board).await;
        board.failing.store(false, SeqCst);
        sleep(s(60)).await;
        let call = worker.port::<Call>();
        let mut asked = Box::pin(call.ask(Call));
        assert!(futures_util::poll!(&mut asked).is_pending());
        drop(asked);
        assert!(refused(call.ask(Call).await).0.starts_with("half-open"));
        sleep(ms(1)).await;
        assert_eq!(call.ask(Call).await, Ok(Ok(1)));
    });
}

/// Kills: epochs not checked.
#[test]
fn late_failures_of_an_earlier_life_do_not_count_against_the_present_one() {
    paused(async {
        let (tree, worker, board) = grow_one(options()).await;
        board.failing.store(true, SeqCst);
        let slow = worker.port::<SlowCall>();
        let late = join_all((0..9).map(|_| slow.ask(SlowCall(s(2)))));
        let crash = async {
            sleep(s(1)).await;
            worker.port().ask(Boom).await
        };
        let (late, crash) = tokio::join!(late, crash);
        assert_eq!(crash, Err(AskError::Lost));
        assert!(late.iter().all(|reply| *reply == Ok(Err(CallError::Down))));
        sleep(ms(1)).await;
        assert_eq!((worker.epoch(), worker.state()), (2, ChildState::Up), "{:?}", tree.news());
    });
}

#[test]
fn crashes_open_it_and_the_restart_waits_until_callers_may_try_again() {
    paused(async {
        let backoff = Backoff::new(ms(10), s(5));
        let (tree, worker, _) = grow_one(ChildOptions { backoff, ..options() }).await;
        for _ in 0..5 {
            assert_eq!(worker.port().ask(Boom).await, Err(AskError::Lost));
            sleep(ms(200)).await;
        }
        assert_eq!((worker.state(), worker.epoch()), (ChildState::Open, 5));
        sleep(s(59)).await;
        assert_eq!((worker.state(), worker.epoch()), (ChildState::Open, 5), "no restart that nobody could use");
        sleep(s(1)).await;
        assert_eq!((worker.state(), worker.epoch()), (ChildState::HalfOpen, 6));
        // it ends while half-open: another minute
        assert_eq!(worker.port().ask(Boom).await, Err(AskError::Lost));
        sleep(ms(1)).await;
        assert_eq!(worker.state(), ChildState::Open);
        sleep(s(61)).await;
        assert_eq!(worker.port().ask(Count).await, Ok(1));
        sleep(ms(1)).await;
        assert_eq!(worker.state(), ChildState::Up);
        assert_eq!(tree.news().last().map(String::as_str), Some("root/a#7 closed"));
    });
}

#[test]
fn a_full_queue_refuses_before_anything_is_queued_even_if_callers_lose_patience() {
    paused(async {
        let (_tree, worker, _) = grow_one(ChildOptions { cap: 4, deadline: None, ..options() }).await;
        assert_eq!(worker.port().ask_within(Hang, ms(10)).await, Err(AskError::Timeout));
        for _ in 0..3 {
            // its caller gives up, but its message still waits behind the one that hangs
            assert_eq!(worker.port().ask_within(Count, ms(10)).await, Err(AskError::Timeout));
        }
        for _ in 0..20 {
            assert_eq!(worker.port().ask_within(Count, ms(10)).await, Err(AskError::Overloaded));
            assert_eq!(worker.port().try_tell(Count), Err(AskError::Overloaded));
        }
        assert_eq!(worker.queue(), 4);
        assert!(AskError::Overloaded.certainly_not_executed());
    });
}

#[test]
fn the_cap_holds_for_work_under_way_and_frees_its_places() {
    paused(async {
        let (_tree, worker, board) = grow_one(ChildOptions { cap: 4, ..options() }).await;
        let slow = worker.port::<SlowCall>();
        for _ in 0..3 {
            let replies = join_all((0..10).map(|_| slow.ask(SlowCall(ms(100))))).await;
            assert_eq!(replies.iter().filter(|reply| **reply == Ok(Ok(1))).count(), 4);
            assert_eq!(replies.iter().filter(|reply| **reply == Err(AskError::Overloaded)).count(), 6);
        }
        assert!((0..4).all(|_| worker.port().try_tell(SlowCall(ms(100))).is_ok()));
        sleep(ms(1)).await;
        assert_eq!(slow.ask(SlowCall(ms(100))).await, Err(AskError::Overloaded), "all four are being worked on");
        assert_eq!(
            worker.port().try_tell(SlowCall(ms(100))),
            Err(AskError::Overloaded),
            "a told message takes a place"
        );
        sleep(ms(101)).await;
        assert_eq!((worker.queue(), board.most_working.load(SeqCst)), (0, 4));
    });
}

/// Kills: no message budget (the test would never end).
#[test]
fn a_flooded_actor_lets_its_neighbours_work() {
    System::new().block_on(async {
        let ((a, flooded, _), (b, neighbour, _)) = (worker("a"), worker("b"));
        let spec = supervisor("root", dsmil::resilience::roster::Strategy::OneForOne, 1, vec![a, b]);
        let _tree = grow(spec).await;
        assert_eq!(flooded.port().ask(Flood).await, Ok(()));
        for n in 1..100 {
            assert_eq!(neighbour.port().ask(Count).await, Ok(n));
        }
        assert_eq!(flooded.port().ask(Count).await, Ok(1), "and is served itself");
    });
}
