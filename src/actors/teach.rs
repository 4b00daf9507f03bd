//! Hands lessons to the learner without anybody waiting: they are offered again until it has them, and given up, with
//! a count, only when too many wait.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tracing::warn;

use crate::learning::lesson::Lesson;
use crate::messages::learner::Learn;
use crate::messages::port::Port;

/// Lessons that may wait for the learner at once.
const MOST: usize = 20_000;
/// Between two offers: at first, and at most.
const RETRY: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Teach {
    learn: Port<Learn>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Teach {
    pub fn new(learn: Port<Learn>) -> Self {
        Teach { learn, waiting: Arc::default(), dropped: Arc::default() }
    }

    /// To be spawned; ends when the learner has the lessons.
    pub fn hand_over(&self, lessons: Vec<Lesson>) -> Option<impl Future<Output = ()> + 'static> {
        let count = lessons.len();
        if self.waiting.fetch_add(count, Ordering::Relaxed) + count > MOST {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            let dropped = self.dropped.fetch_add(count, Ordering::Relaxed) + count;
            warn!(dropped, "the learner does not keep up: {dropped} lessons were given up so far");
            return None;
        }
        let teach = self.clone();
        Some(async move {
            // A lesson that is offered twice is stored once, so an unknown outcome is answered by offering it again.
            let mut pause = RETRY;
            while !matches!(teach.learn.ask(Learn(lessons.clone())).await, Ok(Ok(()))) {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST);
            }
            teach.waiting.fetch_sub(count, Ordering::Relaxed);
        })
    }
}
