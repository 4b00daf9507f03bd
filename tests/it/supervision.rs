//! Supervision: restarts, order, escalation, shutdown. Time is paused, so that an hour passes at once.
//!
//! Five mistakes that supervisors are made with, each killed by a test. Made by hand in turn, they fail these:
//! - a half-open breaker that lets all in: one_probe_…, a_probe_that_never_answers_…, a_probe_whose_caller_has_gone_…
//! - epochs not checked: late_failures_of_an_earlier_life_…, both a_blocked_thread_…
//! - no `catch_unwind`: a_panic_restarts_… and nearly all others with a panic
//! - no message budget: a_flooded_actor_…, which then never ends
//! - a probe lost for ever: a_probe_that_never_answers_…
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use dsmil::actors::child::{ChildOptions, ChildSpec, Readiness, Restart};
use dsmil::clock;
use dsmil::messages::port::AskError;
use dsmil::messages::supervision::{ChildState, Describe, Fault, Intervened, Intervention, NodeKind};
use dsmil::resilience::roster::Strategy;
use parking_lot::Mutex;
use tokio::time::sleep;

use self::worker::*;

mod breaker;
mod drill;
mod dynamic;
mod endurance;
mod guests;
mod priority;
mod random;
mod stuck;
mod worker;

/// Kills: no `catch_unwind` (the reason of the exit would be lost), and hooks that run on a poisoned actor.
#[test]
fn a_panic_restarts_that_child_alone_after_its_delay_with_fresh_state() {
    paused(async {
        let (a, one, _) = worker("a");
        let (b, two, _) = worker("b");
        let tree = grow(supervisor("root", Strategy::OneForOne, 10, vec![a, b])).await;
        let (count_a, count_b) = (one.port::<Count>(), two.port::<Count>());
        assert_eq!(
            [count_a.ask(Count).await, count_a.ask(Count).await, count_b.ask(Count).await],
            [Ok(1), Ok(2), Ok(1)]
        );
        assert_eq!(one.port().ask(Boom).await, Err(AskError::Lost));
        let (reason, retry_after) = refused(count_a.ask(Count).await);
        assert_eq!(reason, "restarting");
        assert!((ms(49)..=ms(100)).contains(&retry_after), "{retry_after:?} is not the jittered 100 ms");
        assert_eq!(count_b.ask(Count).await, Ok(2), "the sibling is untouched");
        sleep(retry_after + ms(2)).await;
        assert_eq!(count_a.ask(Count).await, Ok(1), "the same port, a new life");
        let expected = ["root#1 started", "root/a#1 started", "root/b#1 started"];
        let then = ["root/a#1 exited: panicked: boom", "root/a#1 restarts", "root/a#2 started"];
        assert_eq!(tree.news(), [expected, then].concat());
    });
}

/// Kills: news that go into the mailbox of a life that has ended, and are lost though they count as told.
#[test]
fn what_is_told_to_a_life_that_has_ended_is_refused_though_its_gate_is_not_shut_yet() {
    paused(async {
        let (a, one, _) = worker("a");
        let tree = grow(supervisor("root", Strategy::OneForOne, 10, vec![a])).await;
        let (port, told) = (one.port::<Count>(), Arc::new(Mutex::new(None)));
        let keep = Arc::clone(&told);
        tree.on_exit(move || *keep.lock() = Some(port.try_tell(Count)));
        assert_eq!(one.port().ask(Boom).await, Err(AskError::Lost));
        sleep(s(1)).await;
        let told = told.lock().take().expect("the exit was told");
        assert_eq!(refused(told).0, "it has just ended");
        assert_eq!(one.port().ask(Count).await, Ok(1));
    });
}

#[test]
fn an_actor_may_fail_with_a_reason_and_may_finish() {
    paused(async {
        let board = Arc::default();
        let transient = ChildOptions { restart: Restart::Transient, ..options() };
        let temporary = ChildOptions { restart: Restart::Temporary, ..options() };
        let (a, one) = worker_with("a", transient, &board);
        let (b, two) = worker_with("b", temporary, &board);
        let tree = grow(supervisor("root", Strategy::OneForOne, 10, vec![a, b])).await;
        tree.news();
        assert_eq!(one.port().ask(Fail("the disk is gone")).await, Ok(()));
        assert_eq!(two.port().ask(Fail("not again")).await, Ok(()));
        sleep(s(1)).await;
        assert_eq!(one.port().ask(Leave).await, Ok(()));
        sleep(s(1)).await;
        assert_eq!([one.state(), two.state()], [ChildState::Down, ChildState::Down]);
        assert_eq!(refused(one.port().ask(Count).await).0, "finished");
        let lives = [
            "root/a#1 exited: the disk is gone",
            "root/a#1 restarts",
            "root/b#1 exited: not again",
            "root/a#2 started",
            "root/a#2 stopped",
        ];
        assert_eq!(tree.news(), lives);
    });
}

#[test]
fn a_factory_that_panics_is_a_failed_start() {
    paused(async {
        let (a, one) = ChildSpec::worker("a", options(), || -> Worker { panic!("no such device") });
        let tree = grow(supervisor("root", Strategy::OneForOne, 2, vec![a])).await;
        let reason = tree.root.gave_up().await;
        assert!(reason.contains("panicked: no such device"), "{reason}");
        assert_eq!(one.epoch(), 3, "two restarts were allowed");
    });
}

#[test]
fn rest_for_one_restarts_the_failed_child_and_those_after_it() {
    paused(async {
        let ((a, one, _), (b, two, _), (c, three, _)) = (worker("a"), worker("b"), worker("c"));
        let tree = grow(supervisor("root", Strategy::RestForOne, 10, vec![a, b, c])).await;
        let refs = [&one, &two, &three];
        for worker in refs {
            assert_eq!(worker.port().ask(Count).await, Ok(1));
        }
        tree.news();
        assert_eq!(two.port().ask(Boom).await, Err(AskError::Lost));
        sleep(s(1)).await;
        let mut counts = Vec::new();
        for worker in refs {
            counts.push(worker.port().ask(Count).await);
        }
        assert_eq!(counts, [Ok(2), Ok(1), Ok(1)]);
        let news = tree.news();
        assert_eq!(news[1..], ["root/b#1 restarts", "root/c#1 stopped", "root/b#2 started", "root/c#2 started"]);
    });
}

#[test]
fn a_supervisor_that_gives_up_is_restarted_with_all_below_it() {
    paused(async {
        let ((a, one, _), (b, two, _), (c, three, _)) = (worker("a"), worker("b"), worker("c"));
        let inner = supervisor("pair", Strategy::OneForOne, 2, vec![a, b]);
        let tree = grow(supervisor("root", Strategy::OneForOne, 5, vec![ChildSpec::supervisor(inner), c])).await;
        for worker in [&two, &three] {
            assert_eq!(worker.port().ask(Count).await, Ok(1));
        }
        for _ in 0..3 {
            assert_eq!(one.port().ask(Boom).await, Err(AskError::Lost));
            sleep(s(2)).await;
        }
        assert_eq!(
            [one.port().ask(Count).await, two.port().ask(Count).await, three.port().ask(Count).await],
            [Ok(1), Ok(1), Ok(2)]
        );
        assert_eq!([one.epoch(), two.epoch(), three.epoch()], [4, 2, 1], "lives are counted on");
        let news = tree.news();
        let gave_up = news.iter().position(|line| line == "root/pair#1 gave up").expect("it gave up");
        assert_eq!(news[gave_up + 1], "root/pair/b#1 stopped", "what still ran was stopped first");
        assert!(
            news[gave_up + 2]
                .starts_with("root/pair#1 exited: more than 2 restarts within 60s; the last: a panicked: boom")
        );
        let again = ["root/pair#1 restarts", "root/pair#2 started", "root/pair/a#4 started", "root/pair/b#2 started"];
        assert_eq!(news[gave_up + 3..], again);
    });
}

#[test]
fn the_root_says_when_it_gives_up() {
    paused(async {
        let (a, one, _) = worker("a");
        let inner = supervisor("inner", Strategy::OneForOne, 0, vec![a]);
        let tree = grow(supervisor("root", Strategy::OneForOne, 1, vec![ChildSpec::supervisor(inner)])).await;
        for _ in 0..2 {
            assert_eq!(one.port().ask(Boom).await, Err(AskError::Lost));
            sleep(s(1)).await;
        }
        let reason = tree.root.gave_up().await;
        assert!(reason.contains("inner") && reason.contains("a panicked: boom"), "{reason}");
        assert_eq!(refused(one.port().ask(Count).await).0, "its supervisor gave up");
        assert_eq!(one.epoch(), 2);
    });
}

/// Kills: restarts of a child, or of its supervisor, that can only end in the same way.
#[test]
fn what_no_restart_can_mend_ends_the_tree_at_once_and_in_order() {
    paused(async {
        let ((a, hopeless, _), (b, ..)) = (worker("a"), worker("b"));
        let inner = supervisor("inner", Strategy::OneForOne, 9, vec![a]);
        let tree = grow(supervisor("root", Strategy::OneForOne, 9, vec![b, ChildSpec::supervisor(inner)])).await;
        tree.news();
        assert_eq!(hopeless.port().ask(Despair).await, Ok(()));
        assert_eq!(tree.root.gave_up().await, "it was replaced");
        let ends = [
            "root/inner/a#1 exited: it was replaced",
            "root/inner#1 gave up",
            "root/inner#1 exited: it was replaced",
            "root#1 gave up",
            "root/b#1 stopped",
        ];
        assert_eq!(tree.news()[..5], ends);
    });
}

#[test]
fn a_child_starts_when_those_before_it_are_ready() {
    paused(async {
        let ready = |within| ChildOptions { readiness: Readiness::WhenReady { within }, ..options() };
        let board = Arc::default();
        let (a, one) = worker_with("a", ready(s(5)), &board);
        let (b, two, _) = worker("b");
        let tree = grow(supervisor("root", Strategy::RestForOne, 10, vec![a, b])).await;
        assert_eq!([one.state(), two.state()], [ChildState::Starting, ChildState::Starting]);
        assert_eq!(refused(one.port().ask(Count).await).0, "starting");
        assert_eq!(two.epoch(), 0, "not started yet");
        sleep(s(1)).await;
        assert_eq!([one.port().ask(Count).await, two.port().ask(Count).await], [Ok(1), Ok(1)]);
        // from now on it never gets ready: each start fails after its time, and the next child waits
        board.never_ready.store(true, SeqCst);
        tree.news();
        assert_eq!(one.port().ask(Boom).await, Err(AskError::Lost));
        sleep(s(6)).await;
        assert_eq!([one.state(), two.state()], [ChildState::Starting, ChildState::Restarting]);
        assert_eq!(tree.news()[3..], ["root/a#2 exited: was not ready in time", "root/a#2 restarts"]);
        board.never_ready.store(false, SeqCst);
        sleep(s(10)).await;
        assert_eq!([one.port().ask(Count).await, two.port().ask(Count).await], [Ok(1), Ok(1)]);
    });
}

#[test]
fn a_shutdown_stops_in_reverse_order_and_kills_who_refuses() {
    paused(async {
        let ((db, ..), (stubborn, _, refuses), (web, ..)) = (worker("db"), worker("stubborn"), worker("web"));
        refuses.refuses_to_stop.store(true, SeqCst);
        let edges = supervisor("edges", Strategy::OneForOne, 1, vec![web]);
        let children = vec![db, stubborn, ChildSpec::supervisor(edges)];
        let tree = grow(supervisor("root", Strategy::OneForOne, 1, children)).await;
        tree.news();
        let (events, began) = (Arc::clone(&tree.events), clock::now());
        let farewells = tree.root.shutdown(s(30)).await;
        assert!(clock::now() - began < s(6), "the grace of one child is five seconds");
        assert_eq!(farewells.stopped, ["root/edges/web", "root/edges", "root/db", "root"]);
        assert_eq!(farewells.left_behind, [""; 0]);
        let order: Vec<String> = events.lock().iter().map(|event| event.path.clone()).collect();
        assert_eq!(order, ["root/edges/web", "root/edges", "root/stubborn", "root/db", "root"]);
    });
}

#[test]
fn a_shutdown_ends_at_its_deadline() {
    paused(async {
        let (stubborn, _, refuses) = worker("stubborn");
        refuses.refuses_to_stop.store(true, SeqCst);
        let tree = grow(supervisor("root", Strategy::OneForOne, 1, vec![stubborn])).await;
        let began = clock::now();
        tree.root.shutdown(s(1)).await;
        assert!(clock::now() - began < ms(1100), "one second, not the grace of five");
    });
}

#[test]
fn an_operator_restarts_a_child_and_sees_the_tree() {
    paused(async {
        let ((a, one, board), (b, two, _)) = (worker("a"), worker("b"));
        let inner = supervisor("group", Strategy::OneForOne, 3, vec![a, b]);
        let tree = grow(supervisor("root", Strategy::RestForOne, 1, vec![ChildSpec::supervisor(inner)])).await;
        board.failing.store(true, SeqCst);
        for _ in 0..5 {
            assert!(matches!(one.port().ask(Call).await, Ok(Err(_))));
        }
        sleep(ms(1)).await;
        assert_eq!(two.port().ask(Count).await, Ok(1));
        let node = tree.root.describe.ask(Describe).await.expect("a tree");
        assert_eq!(
            (node.name.as_str(), node.kind, node.strategy),
            ("root", NodeKind::Supervisor, Some("rest_for_one"))
        );
        let group = &node.children[0];
        assert_eq!((group.name.as_str(), group.strategy, group.state), ("group", Some("one_for_one"), ChildState::Up));
        let [a, b] = &group.children[..] else { panic!("{group:?}") };
        assert_eq!((a.state, b.state, a.kind), (ChildState::Open, ChildState::Up, NodeKind::Worker));
        assert_eq!(a.breaker.map(|breaker| breaker.state), Some("open"));
        assert_eq!(a.arbiter.as_deref(), Some("test"));
        // a restart by hand closes the breaker and does not count as a failure
        for name in ["a", "group"] {
            assert_eq!(tree.intervene(name, Intervention::Restart).await, Intervened::Done);
            sleep(ms(200)).await;
            assert_eq!(one.port().ask(Count).await, Ok(1), "after {name}");
        }
        assert_eq!(tree.intervene("nobody", Intervention::Restart).await, Intervened::Unknown);
        let node = tree.root.describe.ask(Describe).await.expect("a tree");
        assert_eq!(
            (node.restarts_in_window, node.children[0].restarts, node.children[0].children[0].restarts),
            (0, 1, 2)
        );
        // a drill is a panic like any other: it counts, and it is the reason of the end
        assert_eq!(tree.intervene("b", Intervention::Inject(Fault::Panic)).await, Intervened::Done);
        sleep(ms(500)).await;
        let node = tree.root.describe.ask(Describe).await.expect("a tree");
        let b = &node.children[0].children[1];
        assert_eq!((b.state, node.children[0].restarts_in_window), (ChildState::Up, 1), "{node:?}");
        assert_eq!(b.last_exit.as_deref(), Some("panicked: drill: root/group/b was told to panic"));
    });
}
