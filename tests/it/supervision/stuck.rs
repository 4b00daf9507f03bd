//! Children that do not answer: hung for ever on one request, or holding their thread. The latter needs real time,
//! for a thread cannot be paused; the tests wait for the event itself, not for a time.
use std::sync::Arc;
use std::time::Duration;

use actix::System;
use dsmil::actors::child::{ChildOptions, Place};
use dsmil::actors::home::Home;
use dsmil::messages::port::AskError;
use dsmil::messages::supervision::{Fault, Intervention};
use dsmil::resilience::roster::Strategy;
use tokio::time::sleep;

use super::worker::*;

#[test]
fn a_request_that_is_never_answered_ends_the_child() {
    paused(async {
        let (tree, worker, _) = grow_one(ChildOptions { deadline: Some(s(2)), ..options() }).await;
        let (hung, behind) = (worker.port::<Hang>(), worker.port::<Count>());
        let (hung, behind) = tokio::join!(hung.ask_within(Hang, s(1)), behind.ask_within(Count, s(10)));
        assert_eq!((hung, behind), (Err(AskError::Timeout), Err(AskError::Lost)));
        sleep(ms(200)).await;
        assert_eq!(worker.port().ask(Count).await, Ok(1));
        let exit = "root/a#1 exited: killed: a request was not answered within the deadline";
        assert_eq!(tree.news()[2].replace("killed: ", ""), exit.replace("killed: ", ""));
    });
}

/// Waits in real time until `happened`.
pub async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if happened().await {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not happen within ten seconds");
}

/// Kills: epochs not checked (the late exit of the life that was left behind would restart the present one).
#[test]
fn a_blocked_thread_is_given_up_and_all_who_live_there_move() {
    System::new().block_on(async {
        let home = Home::start("shared").expect("a thread");
        let on = ChildOptions { stall: Some(ms(600)), ..ChildOptions::at(Place::Shared(home)) };
        let (board, other) = (Arc::<Board>::default(), Arc::default());
        let (a, blocked) = worker_with("a", on.clone(), &board);
        let (b, neighbour) = worker_with("b", on.clone(), &other);
        let (c, stranger) = worker_with("c", on, &other);
        let inner = supervisor("other", Strategy::OneForOne, 0, vec![c]);
        let children = vec![a, b, dsmil::actors::child::ChildSpec::supervisor(inner)];
        let tree = grow(supervisor("root", Strategy::OneForOne, 1, children)).await;
        let all = [&blocked, &neighbour, &stranger];
        until("the first start", async || stranger.port().ask(Count).await == Ok(1)).await;
        assert_eq!(blocked.port().ask_within(Block(s(3)), ms(20)).await, Err(AskError::Timeout));
        until("the move", async || all.iter().all(|worker| worker.epoch() == 2)).await;
        for worker in all {
            until("service", async || worker.port().ask_within(Count, ms(100)).await.is_ok()).await;
        }
        assert!(tree.news().iter().any(|line| line.starts_with("root/a#1 exited: held its thread for")));
        // the thread comes back, and the lives left behind on it end: nobody cares
        let (factory_and_test, present_life) = (2, 1);
        until("the end of the blocked life", async || Arc::strong_count(&board) == factory_and_test + present_life)
            .await;
        sleep(ms(50)).await;
        assert_eq!(tree.news(), [""; 0]);
        assert!(all.iter().all(|worker| worker.epoch() == 2));
    });
}

#[test]
fn a_shutdown_leaves_behind_who_holds_its_thread() {
    System::new().block_on(async {
        let place = || Place::Shared(Home::start("held").expect("a thread"));
        let board = Arc::default();
        let (a, _) = worker_with("a", ChildOptions { stall: None, ..ChildOptions::at(place()) }, &board);
        let (b, holds) =
            worker_with("b", ChildOptions { stall: None, grace: ms(100), ..ChildOptions::at(place()) }, &board);
        let tree = grow(supervisor("root", Strategy::OneForOne, 1, vec![a, b])).await;
        until("the start", async || holds.port().ask(Count).await.is_ok()).await;
        assert_eq!(holds.port().ask_within(Block(s(3)), ms(20)).await, Err(AskError::Timeout));
        let farewells = tree.root.shutdown(s(2)).await;
        assert_eq!(farewells.left_behind, ["root/b"]);
        assert_eq!(farewells.stopped, ["root/a", "root"]);
    });
}

/// Kills: children that serve on, unwatched, after the panic of their supervisor.
#[test]
fn the_panic_of_a_supervisor_ends_its_children_though_callers_hold_their_names() {
    paused(async {
        let (a, one, board) = worker("a");
        let inner = supervisor("inner", Strategy::OneForOne, 3, vec![a]);
        let outer =
            supervisor("root", Strategy::OneForOne, 3, vec![dsmil::actors::child::ChildSpec::supervisor(inner)]);
        let tree = grow(outer).await;
        let (held, factory_and_test) = (one.port::<Count>(), 2);
        assert_eq!(held.ask(Count).await, Ok(1));
        tree.intervene("inner", Intervention::Inject(Fault::Panic)).await;
        sleep(ms(2)).await;
        assert_eq!(refused(held.ask(Count).await).0, "its supervisor has ended");
        assert_eq!(Arc::strong_count(&board), factory_and_test, "the actor has gone before the restart");
        sleep(s(1)).await;
        assert_eq!((held.ask(Count).await, one.epoch()), (Ok(1), 2));
        assert_eq!(tree.root.shutdown(s(5)).await.left_behind, [""; 0]);
    });
}
