//! A tokio task behind a channel: the least that an actor can be.
use std::hint::black_box;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::figures::{Asks, Figure, IDLE, TELLS, each, rate, resident};

enum Message {
    Tell,
    Ask(oneshot::Sender<u64>),
}

fn start(capacity: usize) -> mpsc::Sender<Message> {
    let (sender, mut inbox) = mpsc::channel(capacity);
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(message) = inbox.recv().await {
            count += 1;
            if let Message::Ask(reply) = message {
                reply.send(count).expect("the asker waits");
            }
        }
    });
    sender
}

async fn count(task: &mpsc::Sender<Message>) -> u64 {
    let (reply, answer) = oneshot::channel();
    assert!(task.send(Message::Ask(reply)).await.is_ok());
    answer.await.expect("an answer")
}

pub async fn ask() -> Figure {
    let task = start(64);
    let mut asks = Asks::new();
    while asks.wants_more() {
        let began = Instant::now();
        black_box(count(&task).await);
        asks.took(began.elapsed());
    }
    asks.figure()
}

pub async fn tell() -> Figure {
    let task = start(64);
    let began = Instant::now();
    for _ in 0..TELLS {
        assert!(task.send(Message::Tell).await.is_ok());
    }
    count(&task).await;
    rate(began)
}

pub async fn memory() -> Figure {
    let before = resident();
    let tasks: Vec<_> = (0..IDLE).map(|_| start(16)).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let figure = each(before);
    drop(tasks);
    figure
}
