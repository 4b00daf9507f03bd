//! Children that come and go at run time: the same guarantees as for those that are named beforehand, by thousands.
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use actix::System;
use dsmil::actors::child::{ChildOptions, ChildSpec, Place, Readiness, Restart};
use dsmil::actors::dynamic::DynamicSpec;
use dsmil::actors::dynamic::handle::Dynamic;
use dsmil::actors::home::Home;
use dsmil::actors::slot::Ref;
use dsmil::clock;
use dsmil::messages::port::AskError;
use dsmil::messages::supervision::{ChildState, Describe, Fault, Intervened, Intervention, Node};
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use futures_util::future::join_all;
use tokio::time::sleep;

use super::stuck::until;
use super::worker::*;

/// A root with one child `crowd`, which has as many children as this at most, and so many restarts in a minute.
pub async fn grow_crowd(most: usize, restarts: usize) -> (Tree, Dynamic) {
    let intensity = Intensity { max: restarts, within: s(60) };
    let (spec, crowd) = Dynamic::new(DynamicSpec { name: "crowd".into(), intensity, most_failures: 4, most });
    let tree = grow(supervisor("root", Strategy::OneForOne, 3, vec![spec])).await;
    tree.news();
    (tree, crowd)
}

fn of(restart: Restart) -> ChildOptions {
    ChildOptions { restart, ..options() }
}

async fn start(crowd: &Dynamic, name: &str, options: ChildOptions, board: &Arc<Board>) -> Ref<Worker> {
    let board = Arc::clone(board);
    let vacancy = crowd.reserve().expect("a seat");
    let (child, unborn) = vacancy.fill(name, options, move || Worker::new(&board));
    unborn.start().await.expect("started");
    child
}

pub async fn crowd_of(tree: &Tree) -> Node {
    tree.root.describe.ask(Describe).await.expect("a tree").children.remove(0)
}

#[test]
fn a_temporary_child_goes_with_its_end_and_a_transient_one_is_started_again_after_a_failure() {
    paused(async {
        let (tree, crowd) = grow_crowd(10, 10).await;
        let board = Arc::default();
        let once = start(&crowd, "once", of(Restart::Temporary), &board).await;
        let again = start(&crowd, "again", of(Restart::Transient), &board).await;
        assert_eq!((once.port().ask(Count).await, again.port().ask(Count).await), (Ok(1), Ok(1)));
        assert_eq!(once.port().ask(Boom).await, Err(AskError::Lost));
        assert_eq!(again.port().ask(Boom).await, Err(AskError::Lost));
        let (reason, retry_after) = refused(again.port().ask(Count).await);
        assert!(reason == "restarting" && (ms(49)..=ms(100)).contains(&retry_after), "{reason} {retry_after:?}");
        sleep(s(1)).await;
        assert_eq!(refused(once.port().ask(Count).await).0, "finished");
        assert_eq!(again.port().ask(Count).await, Ok(1), "the same port, a new life");
        let crowd_now = crowd_of(&tree).await;
        assert_eq!((crowd_now.strategy, crowd_now.restarts_in_window, crowd_now.more), (Some("dynamic"), 1, 0));
        let [shown] = &crowd_now.children[..] else { panic!("{crowd_now:?}") };
        assert_eq!((shown.name.as_str(), shown.state, shown.restarts), ("again", ChildState::Up, 1));
        assert_eq!(shown.last_exit.as_deref(), Some("panicked: boom"));
        assert_eq!(shown.arbiter.as_deref(), Some("test"));
        assert_eq!(again.port().ask(Leave).await, Ok(()));
        sleep(ms(1)).await;
        assert_eq!((crowd_of(&tree).await.children.len(), crowd.occupancy()), (0, (0, 10)));
        let lives = [
            "root/crowd/once#1 started",
            "root/crowd/again#1 started",
            "root/crowd/once#1 exited: panicked: boom",
            "root/crowd/again#1 exited: panicked: boom",
            "root/crowd/again#1 restarts",
            "root/crowd/again#2 started",
            "root/crowd/again#2 stopped",
        ];
        assert_eq!(tree.news(), lives);
    });
}

#[test]
fn one_more_than_may_be_is_refused_before_it_is_made() {
    paused(async {
        let (_tree, crowd) = grow_crowd(2, 10).await;
        let board = Arc::default();
        let first = start(&crowd, "a", of(Restart::Temporary), &board).await;
        // a seat counts from the moment it is reserved, whether or not the child is there yet
        let vacancy = crowd.reserve().expect("the second seat");
        assert_eq!(crowd.reserve().map(drop), Err(AskError::Overloaded));
        drop(vacancy);
        start(&crowd, "b", of(Restart::Transient), &board).await;
        assert_eq!((crowd.reserve().map(drop), crowd.occupancy()), (Err(AskError::Overloaded), (2, 2)));
        assert_eq!(first.port().ask(Leave).await, Ok(()));
        sleep(ms(1)).await;
        start(&crowd, "c", of(Restart::Temporary), &board).await;
    });
}

#[test]
fn a_child_that_never_starts_never_answers_or_asks_too_much_is_dealt_with_as_any_other() {
    paused(async {
        let (tree, crowd) = grow_crowd(10, 10).await;
        let board = Arc::<Board>::default();
        // the factory panics
        let broken = || -> Worker { panic!("no such device") };
        let (_, unborn) = crowd.reserve().expect("a seat").fill("broken", of(Restart::Temporary), broken);
        assert_eq!(unborn.start().await, Ok(()), "that it could be made is known only on its thread");
        sleep(ms(1)).await;
        assert_eq!(tree.news()[1], "root/crowd/broken#1 exited: panicked: no such device");
        // it is not ready in time
        board.never_ready.store(true, SeqCst);
        let late = ChildOptions { readiness: Readiness::WhenReady { within: s(2) }, ..of(Restart::Temporary) };
        let child = start(&crowd, "late", late, &board).await;
        assert_eq!(child.state(), ChildState::Starting);
        sleep(s(3)).await;
        assert_eq!(tree.news(), ["root/crowd/late#1 exited: was not ready in time"]);
        // it does not answer
        let child =
            start(&crowd, "hung", ChildOptions { deadline: Some(s(2)), ..of(Restart::Transient) }, &board).await;
        assert_eq!(child.port().ask_within(Hang, s(9)).await, Err(AskError::Lost));
        sleep(s(1)).await;
        assert_eq!((child.port().ask(Count).await, child.epoch()), (Ok(1), 2));
        // its queue is full
        let child = start(&crowd, "busy", ChildOptions { cap: 2, ..of(Restart::Temporary) }, &board).await;
        let port = child.port::<SlowCall>();
        let asked = join_all((0..3).map(|_| port.ask(SlowCall(s(1))))).await;
        assert_eq!(asked.iter().filter(|answer| **answer == Err(AskError::Overloaded)).count(), 1);
    });
}

#[test]
fn an_operator_restarts_a_child_and_drills_it() {
    paused(async {
        let (tree, crowd) = grow_crowd(10, 10).await;
        let child = start(&crowd, "a", of(Restart::Temporary), &Arc::default()).await;
        assert_eq!(tree.intervene("a", Intervention::Restart).await, Intervened::Done);
        sleep(ms(1)).await;
        assert_eq!((child.port().ask(Count).await, child.epoch()), (Ok(1), 2), "asked for, so that even this one is");
        assert_eq!(crowd_of(&tree).await.restarts_in_window, 0);
        assert_eq!(tree.intervene("a", Intervention::Inject(Fault::Panic)).await, Intervened::Done);
        sleep(ms(1)).await;
        assert_eq!(tree.intervene("a", Intervention::Inject(Fault::Panic)).await, Intervened::Unknown, "it has gone");
        let drilled = "root/crowd/a#2 exited: panicked: drill: root/crowd/a was told to panic";
        assert_eq!(tree.news().last().map(String::as_str), Some(drilled));
    });
}

#[test]
fn the_panics_of_one_child_without_end_make_its_supervisor_give_up_and_the_one_above_starts_it_anew() {
    paused(async {
        let (tree, crowd) = grow_crowd(10, 2).await;
        let board = Arc::default();
        let (bad, good) = (
            start(&crowd, "bad", of(Restart::Transient), &board).await,
            start(&crowd, "good", of(Restart::Transient), &board).await,
        );
        for _ in 0..3 {
            assert_eq!(bad.port().ask(Boom).await, Err(AskError::Lost));
            sleep(s(2)).await;
        }
        for child in [&bad, &good] {
            assert_eq!(refused(child.port().ask(Count).await).0, "its supervisor gave up");
        }
        let news = tree.news();
        let gave_up = news.iter().position(|line| line == "root/crowd#1 gave up").expect("it gave up");
        assert_eq!(news[gave_up + 1], "root/crowd/good#1 stopped", "what still ran was stopped first");
        assert!(news[gave_up + 2].contains("the last: bad panicked: boom"), "{news:?}");
        assert_eq!(news[gave_up + 3..], ["root/crowd#1 restarts", "root/crowd#2 started"]);
        assert_eq!(crowd.occupancy(), (0, 10), "nobody is left, and no seat is lost");
        assert_eq!(start(&crowd, "next", of(Restart::Temporary), &board).await.port().ask(Count).await, Ok(1));
    });
}

#[test]
fn one_that_can_never_live_is_given_up_alone() {
    paused(async {
        let (tree, crowd) = grow_crowd(10, 10).await;
        let good = start(&crowd, "good", of(Restart::Transient), &Arc::default()).await;
        let broken = || -> Worker { panic!("no such device") };
        let (bad, unborn) = crowd.reserve().expect("a seat").fill("bad", of(Restart::Transient), broken);
        unborn.start().await.expect("started");
        sleep(s(30)).await;
        assert_eq!((bad.epoch(), refused(bad.port().ask(Count).await).0.as_str()), (5, "finished"));
        assert_eq!((good.port().ask(Count).await, crowd.occupancy()), (Ok(1), (1, 10)));
        assert_eq!(tree.news().last().map(String::as_str), Some("root/crowd/bad#5 gave up"));
    });
}

#[test]
fn one_that_was_promised_a_seat_gets_it_though_there_is_none() {
    paused(async {
        let (_tree, crowd) = grow_crowd(1, 10).await;
        let board = Arc::<Board>::default();
        start(&crowd, "a", of(Restart::Transient), &board).await;
        let (child, unborn) = crowd.reserve_anyway().fill("b", of(Restart::Transient), move || Worker::new(&board));
        unborn.start().await.expect("started");
        assert_eq!((child.port().ask(Count).await, crowd.occupancy()), (Ok(1), (2, 1)));
        assert_eq!(child.port().ask(Leave).await, Ok(()));
        sleep(ms(1)).await;
        assert_eq!(crowd.reserve().map(drop), Err(AskError::Overloaded), "there are still as many as may be");
    });
}

#[test]
fn a_shutdown_stops_all_at_once_each_within_its_grace_and_then_what_was_started_before() {
    paused(async {
        let intensity = Intensity { max: 1, within: s(60) };
        let (spec, crowd) =
            Dynamic::new(DynamicSpec { name: "crowd".into(), intensity, most_failures: 4, most: 2_000 });
        let (before, ..) = worker("before");
        let tree = grow(supervisor("root", Strategy::OneForOne, 3, vec![before, spec])).await;
        let (willing, stubborn) = (Arc::<Board>::default(), Arc::<Board>::default());
        stubborn.refuses_to_stop.store(true, SeqCst);
        for n in 0..1_000 {
            let board = if n % 100 == 0 { &stubborn } else { &willing };
            start(&crowd, &format!("c{n}"), of(Restart::Transient), board).await;
        }
        tree.news();
        let (events, began) = (Arc::clone(&tree.events), clock::now());
        let farewells = tree.root.shutdown(s(30)).await;
        assert!(clock::now() - began < s(6), "the grace of one, not of ten: {:?}", clock::now() - began);
        assert_eq!(farewells.stopped.len(), 990 + 3, "the willing ones, their supervisor, `before` and the root");
        assert_eq!(farewells.stopped[990..], ["root/crowd", "root/before", "root"]);
        assert_eq!(events.lock().len(), 1_003);
        assert_eq!(Arc::strong_count(&stubborn), 1, "who refuses is killed");
    });
}

#[test]
fn a_shutdown_ends_at_its_deadline_whatever_the_grace() {
    paused(async {
        let (tree, crowd) = grow_crowd(2, 1).await;
        let stubborn = Arc::<Board>::default();
        stubborn.refuses_to_stop.store(true, SeqCst);
        start(&crowd, "a", of(Restart::Transient), &stubborn).await;
        let began = clock::now();
        tree.root.shutdown(s(1)).await;
        assert!(clock::now() - began < ms(1100), "one second, not the grace of five");
    });
}

#[test]
fn ten_thousand_children_start_and_end_and_nothing_stays() {
    const MANY: usize = 10_000;
    paused(async {
        let (tree, crowd) = grow_crowd(MANY, 10).await;
        let board = Arc::<Board>::default();
        for wave in 0..3 {
            let began = real_now();
            let mut children = Vec::with_capacity(MANY);
            for n in 0..MANY {
                children.push(start(&crowd, &format!("w{wave}-{n}"), of(Restart::Transient), &board).await);
            }
            let started = began.elapsed();
            assert_eq!(crowd.reserve().map(drop), Err(AskError::Overloaded));
            let shown = crowd_of(&tree).await;
            assert_eq!((shown.children.len(), shown.more), (500, MANY - 500));
            // ten looks of the watchdog
            let looking = real_now();
            sleep(s(1)).await;
            let looks = looking.elapsed();
            for child in &children {
                assert_eq!(child.port().ask(Leave).await, Ok(()));
            }
            sleep(ms(1)).await;
            let kib = resident_kib();
            println!("10,000 children: started in {started:.1?}, a look at all {:.1?}, resident {kib} KiB", looks / 10);
            assert_eq!((crowd.occupancy(), Arc::strong_count(&board)), ((0, MANY), 1));
            assert_eq!(crowd_of(&tree).await.children, []);
            tree.news();
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is no matter of the paused time")]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Kills: epochs not checked, and a watchdog that moves only the child that it caught.
#[test]
fn a_blocked_thread_is_given_up_and_all_who_live_there_move() {
    System::new().block_on(async {
        let home = Home::start("shared").expect("a thread");
        let on = |restart| ChildOptions {
            stall: Some(ms(600)),
            restart,
            ..ChildOptions::at(Place::Shared(Arc::clone(&home)))
        };
        let intensity = Intensity { max: 1, within: s(60) };
        let (spec, crowd) = Dynamic::new(DynamicSpec { name: "crowd".into(), intensity, most_failures: 4, most: 9 });
        let board = Arc::<Board>::default();
        let (stranger_spec, stranger) = worker_with("stranger", on(Restart::Permanent), &board);
        let other = ChildSpec::supervisor(supervisor("other", Strategy::OneForOne, 0, vec![stranger_spec]));
        let tree = grow(supervisor("root", Strategy::OneForOne, 0, vec![spec, other])).await;
        until("the tree", async || stranger.port().ask(Count).await.is_ok()).await;
        let blocked = start(&crowd, "blocked", on(Restart::Transient), &board).await;
        let neighbour = start(&crowd, "neighbour", on(Restart::Transient), &board).await;
        let temporary = start(&crowd, "temporary", on(Restart::Temporary), &board).await;
        assert_eq!(blocked.port().ask_within(Block(s(3)), ms(20)).await, Err(AskError::Timeout));
        let moving = [&blocked, &neighbour, &stranger];
        until("the move", async || moving.iter().all(|child| child.epoch() == 2)).await;
        for child in moving {
            until("service", async || child.port().ask_within(Count, ms(100)).await.is_ok()).await;
        }
        until("the end of the temporary one", async || refused(temporary.port().ask(Count).await).0 == "finished")
            .await;
        assert_eq!((crowd_of(&tree).await.restarts_in_window, crowd_of(&tree).await.children.len()), (1, 2));
        assert!(tree.news().iter().any(|line| line.starts_with("root/crowd/blocked#1 exited: held its thread for")));
        // the thread comes back, and the lives left behind on it end: nobody cares
        let (factories, present_lives, test) = (3, 3, 1);
        until("the end of the lives left behind", async || {
            Arc::strong_count(&board) == factories + present_lives + test
        })
        .await;
        sleep(ms(50)).await;
        assert_eq!(tree.news(), [""; 0]);
        assert_eq!(crowd.occupancy(), (2, 9));
    });
}

#[test]
fn workers_of_a_supervisor_that_panics_end_with_it() {
    paused(async {
        let (tree, crowd) = grow_crowd(10, 10).await;
        let board = Arc::default();
        let child = start(&crowd, "a", of(Restart::Transient), &board).await;
        assert_eq!(child.port().ask(Count).await, Ok(1));
        tree.intervene("crowd", Intervention::Inject(Fault::Panic)).await;
        sleep(ms(2)).await;
        assert_eq!(refused(child.port().ask(Count).await).0, "its supervisor has ended");
        sleep(s(1)).await;
        assert_eq!(crowd.occupancy(), (0, 10), "its seat is free");
        assert_eq!(tree.root.shutdown(s(5)).await.left_behind, [""; 0], "nobody is missed who went with it");
    });
}

/// Kills: a watchdog that looks only at who holds a thread, when that is a life whose supervisor is gone.
#[test]
fn a_child_on_a_thread_that_a_life_of_before_holds_moves_to_another() {
    System::new().block_on(async {
        let home = Home::start("shared").expect("a thread");
        let on = || ChildOptions { stall: Some(ms(600)), restart: Restart::Transient, ..at(&home) };
        let (tree, crowd) = grow_crowd(9, 3).await;
        let board = Arc::<Board>::default();
        let blocked = start(&crowd, "blocked", on(), &board).await;
        until("service", async || blocked.port().ask(Count).await.is_ok()).await;
        assert_eq!(blocked.port().ask_within(Block(s(4)), ms(20)).await, Err(AskError::Timeout));
        assert_eq!(tree.intervene("crowd", Intervention::Inject(Fault::Panic)).await, Intervened::Done);
        until("the next life of the crowd", async || crowd.epoch() == 2 && crowd_of(&tree).await.children.is_empty())
            .await;
        tree.news();
        let next = start(&crowd, "next", on(), &board).await;
        assert_eq!(next.state(), ChildState::Up, "nobody can know better yet");
        until("service", async || next.port().ask_within(Count, ms(50)).await.is_ok()).await;
        assert_eq!((next.epoch(), home.lost()), (2, 1), "it did not wait for the thread to come back");
        assert_eq!(crowd_of(&tree).await.restarts_in_window, 0, "it was not its fault");
        let exited = "root/crowd/next#1 exited: its thread did not begin with it for";
        assert!(tree.news().iter().any(|line| line.starts_with(exited)));
    });
}

/// Kills: a supervisor that starts children for ever on a thread that nobody can leave.
#[test]
fn a_home_that_has_lost_too_many_threads_takes_nobody_in_and_the_fault_goes_up() {
    System::new().block_on(async {
        let home = Home::start("shared").expect("a thread");
        let on = || ChildOptions { stall: Some(ms(100)), restart: Restart::Temporary, ..at(&home) };
        let (tree, crowd) = grow_crowd(9, 9).await;
        let board = Arc::<Board>::default();
        for nth in 0..5 {
            let child = start(&crowd, &format!("c{nth}"), on(), &board).await;
            until("service", async || child.port().ask(Count).await.is_ok()).await;
            assert_eq!(child.port().ask_within(Block(s(5)), ms(20)).await, Err(AskError::Timeout));
            until("the loss of the thread", async || home.lost() == nth + 1).await;
        }
        until("the next life of the crowd", async || crowd.epoch() == 2).await;
        let (_, unborn) = crowd.reserve().expect("a seat").fill("late", on(), || Worker::new(&Arc::default()));
        let (reason, _) = refused(unborn.start().await);
        assert!(reason.contains("has lost 5 threads"), "{reason}");
        until("another life of the crowd", async || crowd.epoch() == 3).await;
        until("the return of the threads", async || home.lost() == 0).await;
        start(&crowd, "again", on(), &board).await;
        drop(tree);
    });
}

fn at(home: &Arc<Home>) -> ChildOptions {
    ChildOptions::at(Place::Shared(Arc::clone(home)))
}
