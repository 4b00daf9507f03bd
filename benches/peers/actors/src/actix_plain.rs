//! actix without supervision: a panic ends the actor for good, and nothing bounds its mailbox.
use std::hint::black_box;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Arbiter, Context, Handler, Message};

use crate::figures::{Asks, Figure, IDLE, TELLS, each, rate, resident};

#[derive(Message)]
#[rtype(result = "u64")]
struct Count;

#[derive(Default)]
struct Plain(u64);

impl Actor for Plain {
    type Context = Context<Self>;
}

impl Handler<Count> for Plain {
    type Result = u64;
    fn handle(&mut self, Count: Count, _: &mut Context<Self>) -> u64 {
        self.0 += 1;
        self.0
    }
}

fn start(elsewhere: bool) -> Addr<Plain> {
    match elsewhere {
        true => Plain::start_in_arbiter(&Arbiter::new().handle(), |_| Plain::default()),
        false => Plain::default().start(),
    }
}

pub async fn ask(elsewhere: bool) -> Figure {
    let actor = start(elsewhere);
    let mut asks = Asks::new();
    while asks.wants_more() {
        let began = Instant::now();
        black_box(actor.send(Count).await.expect("an answer"));
        asks.took(began.elapsed());
    }
    asks.figure()
}

pub async fn tell(elsewhere: bool) -> Figure {
    let actor = start(elsewhere);
    actor.send(Count).await.expect("an answer");
    let began = Instant::now();
    (0..TELLS).for_each(|_| actor.do_send(Count));
    actor.send(Count).await.expect("an answer");
    rate(began)
}

pub async fn memory() -> Figure {
    let before = resident();
    let actors: Vec<_> = (0..IDLE).map(|_| start(false)).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let figure = each(before);
    drop(actors);
    figure
}
