//! ractor: it isolates panics and reports them; the restart is its user's to write.
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use crate::figures::{Asks, Figure, IDLE, RESTARTS, TELLS, each, quantiles, rate, resident};

enum Message {
    Tell,
    Ask(RpcReplyPort<u64>),
    Panic,
}

struct Counter;

impl Actor for Counter {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Message>, message: Message, count: &mut u64) -> Result<(), ActorProcessingErr> {
        *count += 1;
        match message {
            Message::Tell => {}
            Message::Ask(reply) => reply.send(*count)?,
            Message::Panic => panic!("told to"),
        }
        Ok(())
    }
}

type Present = Arc<RwLock<Option<ActorRef<Message>>>>;

struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Present;
    type Arguments = Present;

    async fn pre_start(&self, me: ActorRef<()>, present: Present) -> Result<Present, ActorProcessingErr> {
        let (child, _) = Actor::spawn_linked(None, Counter, (), me.get_cell()).await?;
        *present.write() = Some(child);
        Ok(present)
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<()>,
        event: SupervisionEvent,
        present: &mut Present,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(..) = event {
            let (child, _) = Actor::spawn_linked(None, Counter, (), me.get_cell()).await?;
            *present.write() = Some(child);
        }
        Ok(())
    }
}

async fn count(actor: &ActorRef<Message>) -> u64 {
    actor.call(Message::Ask, None).await.expect("sent").expect("an answer")
}

pub async fn ask() -> Figure {
    let (actor, _) = Actor::spawn(None, Counter, ()).await.expect("started");
    let mut asks = Asks::new();
    while asks.wants_more() {
        let began = Instant::now();
        black_box(count(&actor).await);
        asks.took(began.elapsed());
    }
    asks.figure()
}

pub async fn tell() -> Figure {
    let (actor, _) = Actor::spawn(None, Counter, ()).await.expect("started");
    let began = Instant::now();
    for _ in 0..TELLS {
        actor.cast(Message::Tell).expect("sent");
    }
    count(&actor).await;
    rate(began)
}

pub async fn restart() -> Figure {
    let present = Present::default();
    let (_supervisor, _) = Actor::spawn(None, Supervisor, Arc::clone(&present)).await.expect("started");
    let child = || present.read().clone().expect("a child");
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        count(&child()).await;
        let began = Instant::now();
        child().cast(Message::Panic).expect("sent");
        loop {
            let child = child();
            if let Ok(CallResult::Success(1)) = child.call(Message::Ask, None).await {
                break;
            }
            tokio::task::yield_now().await;
        }
        times.push(began.elapsed());
    }
    quantiles(times, &[0.5, 0.99, 1.0], 1e3)
}

pub async fn memory() -> Figure {
    let before = resident();
    let mut actors = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        actors.push(Actor::spawn(None, Counter, ()).await.expect("started").0);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    each(before)
}
