//! Priorities: who is still let in when a queue fills, and what overtakes it.
use dsmil::actors::child::ChildOptions;
use dsmil::messages::port::{AskError, Port};
use dsmil::resilience::admission::Priority;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::worker::*;

/// Kills: a bound that is the same for all.
#[test]
fn a_queue_that_fills_is_kept_for_what_is_more_urgent() {
    paused(async {
        let (_tree, worker, _) = grow_one(ChildOptions { cap: 16, deadline: None, ..options() }).await;
        let mut admitted = Vec::new();
        for priority in Priority::ALL {
            let port = worker.port_for::<SlowCall>(priority);
            let count = (0..100).take_while(|_| port.try_tell(SlowCall(s(1))).is_ok()).count();
            assert_eq!(port.try_tell(SlowCall(s(1))), Err(AskError::Overloaded), "{priority:?}");
            admitted.push(count);
        }
        assert_eq!(admitted, [8, 6, 1, 1]);
        assert_eq!(worker.queue(), 16);
        sleep(s(2)).await;
        assert_eq!(worker.queue(), 0, "all of them were done");
    });
}

/// Kills: an urgent lane that is read after the mailbox, or out of order.
#[test]
fn what_is_urgent_overtakes_what_waits_and_keeps_its_order() {
    paused(async {
        let (_tree, worker, _) = grow_one(options()).await;
        let (normal, system) = (worker.port::<Count>(), worker.port_for::<Count>(Priority::System));
        let order = Mutex::new(Vec::new());
        let ask = async |port: &Port<Count>, name| port.ask(Count).await.map(|count| order.lock().push((count, name)));
        let (first, second) = (ask(&normal, "first"), ask(&normal, "second"));
        let (urgent, then) = (ask(&system, "urgent"), ask(&system, "then"));
        let replies = tokio::join!(first, second, urgent, then);
        assert_eq!(replies, (Ok(()), Ok(()), Ok(()), Ok(())));
        let mut order = order.lock().clone();
        order.sort_unstable();
        assert_eq!(order, [(1, "urgent"), (2, "then"), (3, "first"), (4, "second")]);
    });
}

#[test]
fn what_is_urgent_does_not_break_into_what_the_actor_waits_for() {
    paused(async {
        let (_tree, worker, _) = grow_one(ChildOptions { deadline: Some(s(2)), ..options() }).await;
        worker.port().try_tell(Hang).expect("admitted");
        sleep(ms(1)).await;
        let urgent = worker.port_for::<Count>(Priority::System);
        assert_eq!(urgent.ask_within(Count, s(1)).await, Err(AskError::Timeout), "the actor wants to see nothing else");
        assert_eq!(urgent.ask_within(Count, s(10)).await, Err(AskError::Lost), "it goes with the life that hangs");
        sleep(s(1)).await;
        assert_eq!(urgent.ask(Count).await, Ok(1));
    });
}

#[test]
fn what_is_urgent_is_refused_like_the_rest_by_an_open_breaker_and_lost_with_a_panic() {
    paused(async {
        let (_tree, worker, board) = grow_one(options()).await;
        let boom = worker.port_for::<Boom>(Priority::System);
        assert_eq!(boom.ask(Boom).await, Err(AskError::Lost));
        sleep(s(1)).await;
        board.failing.store(true, std::sync::atomic::Ordering::SeqCst);
        let call = worker.port_for::<Call>(Priority::System);
        while call.ask(Call).await.is_ok() {
            sleep(ms(1)).await;
        }
        assert_eq!(refused(call.try_tell(Call)).0, "circuit open");
    });
}
