//! Guests: actors whose future somebody else polls. They are counted, seen, told to go, and their end is told once.
use actix_rt::task::JoinHandle;
use dsmil::actors::dynamic::handle::Dynamic;
use dsmil::messages::guests::{Adopt, Stay};
use dsmil::messages::port::AskError;
use dsmil::messages::supervision::{ChildState, Fault, Intervened, Intervention, NodeKind};
use tokio::time::sleep;

use super::dynamic::{crowd_of, grow_crowd};
use super::worker::*;

async fn adopt(crowd: &Dynamic) -> Result<Stay, AskError> {
    crowd.guests().ask(Adopt { kind: "session", label: "eyes".to_owned() }).await
}

/// A guest that goes when it is told to.
async fn well_behaved(crowd: &Dynamic) -> JoinHandle<String> {
    let mut stay = adopt(crowd).await.expect("a place");
    actix_rt::spawn(async move {
        stay.told_to_go().await;
        stay.name().to_owned()
    })
}

#[test]
fn a_guest_is_seen_and_counted_as_long_as_it_stays() {
    paused(async {
        let (tree, crowd) = grow_crowd(2, 1).await;
        let first = adopt(&crowd).await.expect("a place");
        let second = adopt(&crowd).await.expect("a place");
        assert_eq!(adopt(&crowd).await.map(drop), Err(AskError::Overloaded));
        let shown = crowd_of(&tree).await.children;
        assert_eq!((shown[0].name.as_str(), shown[1].name.as_str()), ("session-1", "session-2"));
        assert_eq!((shown[0].kind, shown[0].state), (NodeKind::Guest, ChildState::Up));
        assert_eq!(shown[0].label.as_deref(), Some("eyes"));
        drop(first);
        let third = adopt(&crowd).await.expect("the seat is free at once");
        assert_eq!(third.name(), "session-3", "no name is used twice");
        drop(second);
        sleep(ms(1)).await;
        let names: Vec<String> = crowd_of(&tree).await.children.into_iter().map(|child| child.name).collect();
        assert_eq!(names, ["session-3"]);
        let told = tree.news();
        assert_eq!(told.iter().filter(|line| line.ends_with("session-1#1 stopped")).count(), 1, "{told:?}");
    });
}

#[test]
fn an_operator_sends_a_guest_away_and_cannot_break_it() {
    paused(async {
        let (tree, crowd) = grow_crowd(2, 1).await;
        let guest = well_behaved(&crowd).await;
        assert_eq!(tree.intervene("session-1", Intervention::Inject(Fault::Panic)).await, Intervened::NotAlive);
        assert_eq!(tree.intervene("session-1", Intervention::Restart).await, Intervened::Done);
        assert_eq!(guest.await.expect("it ends"), "session-1");
        sleep(ms(1)).await;
        assert_eq!(crowd_of(&tree).await.children, []);
    });
}

#[test]
fn a_shutdown_tells_all_guests_and_does_not_wait_long_for_one_that_stays() {
    paused(async {
        let (tree, crowd) = grow_crowd(9, 1).await;
        let guests = [well_behaved(&crowd).await, well_behaved(&crowd).await];
        let deaf = adopt(&crowd).await.expect("a place");
        let began = dsmil::clock::now();
        let farewells = tree.root.shutdown(s(30)).await;
        assert!(dsmil::clock::now() - began < s(4), "{:?}", dsmil::clock::now() - began);
        assert_eq!(farewells.left_behind, ["root/crowd/session-3"]);
        let left = ["root/crowd/session-1", "root/crowd/session-2", "root/crowd", "root"];
        assert_eq!(farewells.stopped, left);
        for guest in guests {
            guest.await.expect("it ends");
        }
        drop(deaf); // late, and nobody is left to be told
    });
}

#[test]
fn the_guests_of_a_supervisor_that_ends_are_told_to_go() {
    paused(async {
        let (tree, crowd) = grow_crowd(2, 1).await;
        let guest = well_behaved(&crowd).await;
        assert_eq!(tree.intervene("crowd", Intervention::Inject(Fault::Panic)).await, Intervened::Done);
        guest.await.expect("it ends");
        sleep(s(1)).await;
        assert_eq!((crowd_of(&tree).await.children, crowd.occupancy()), (Vec::new(), (0, 2)));
        assert_eq!(adopt(&crowd).await.expect("a place").name(), "session-2", "numbers go on");
    });
}
