//! Hands lessons to the learner without anybody waiting: they are offered again until it has them, and given up, with
//! a count, only when too many wait.
//!
//! Handing over is a task of its own thread, not of the actor that gave the lessons: it goes on when that actor ends.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tracing::{info, warn};

use crate::learning::lesson::Lesson;
use crate::messages::learner::{HandOver, Learn};
use crate::messages::port::Port;

/// Lessons that may wait for the learner at once.
const MOST: usize = 20_000;
/// Between two offers: at first, and at most.
const RETRY: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Shared by all lives of the actor that teaches.
#[derive(Clone)]
pub struct Teach {
    learn: Port<Learn>,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    waiting: AtomicUsize,
    dropped: AtomicUsize,
    /// Why the learner did not take lessons, as it was last told to the log. None: nothing waits.
    fault: Mutex<Option<String>>,
}

/// Lessons that wait. Whatever ends the task that offers them, they are not counted as waiting for ever.
struct Waiting {
    lessons: Vec<Lesson>,
    count: Arc<Count>,
}

impl Teach {
    pub fn new(learn: Port<Learn>) -> Self {
        Teach { learn, count: Arc::default() }
    }

    pub fn status(&self) -> HandOver {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed) as u64;
        HandOver { waiting: read(&self.count.waiting), dropped: read(&self.count.dropped) }
    }

    /// Offers the lessons until the learner has them. False: too many wait, and these were given up.
    pub fn hand_over(&self, lessons: Vec<Lesson>) -> bool {
        if lessons.is_empty() {
            return true;
        }
        let Some(waiting) = self.count.admit(lessons) else { return false };
        let learn = self.learn.clone();
        actix_rt::spawn(async move {
            // A lesson that is offered twice is stored once, so an unknown outcome is answered by offering it again.
            let mut pause = RETRY;
            loop {
                let fault = match learn.ask(Learn(waiting.lessons.clone())).await {
                    Ok(Ok(())) => return,
                    Ok(Err(fault)) => fault.to_string(),
                    Err(fault) => fault.lasting_text(),
                };
                waiting.count.tell(fault);
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST);
            }
        });
        true
    }
}

impl Count {
    fn admit(self: &Arc<Self>, lessons: Vec<Lesson>) -> Option<Waiting> {
        let count = lessons.len();
        let before = self.waiting.fetch_add(count, Ordering::Relaxed);
        let waiting = Waiting { lessons, count: Arc::clone(self) };
        if before + count <= MOST {
            return Some(waiting);
        }
        let dropped = self.dropped.fetch_add(count, Ordering::Relaxed) + count;
        warn!(dropped, "the learner does not keep up: {dropped} lessons were given up so far");
        None
    }

    /// Every change of the reason is told once, however many lessons wait for it.
    fn tell(&self, fault: String) {
        let mut told = self.fault.lock();
        if told.as_ref() != Some(&fault) {
            warn!("lessons wait for the learner, and are offered again until it takes them: {fault}");
            *told = Some(fault);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let count = self.lessons.len();
        if self.count.waiting.fetch_sub(count, Ordering::Relaxed) == count && self.count.fault.lock().take().is_some() {
            info!("no lesson waits for the learner any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, ActorContext as _, Context};
    use serde_json::json;
    use tokio::sync::mpsc;
    use tokio::task::LocalSet;
    use uuid::Uuid;

    use super::*;
    use crate::ids::RunId;
    use crate::learning::lesson::RunLesson;
    use crate::messages::learner::LearnError;
    use crate::messages::port::AskError;

    fn lessons(count: u128) -> Vec<Lesson> {
        let lesson = |n| RunLesson {
            run: RunId(Uuid::from_u128(n)),
            at: chrono::DateTime::UNIX_EPOCH,
            workflow: "w".to_owned(),
            agents: Vec::new(),
            execution_graph: json!({}),
            timing_metrics: json!({}),
            audit_index: None,
        };
        (0..count).map(|n| Lesson::Run(lesson(n))).collect()
    }

    fn full() -> Result<Result<(), LearnError>, AskError> {
        Ok(Err(LearnError::Spool { detail: "no space left on device".to_owned() }))
    }

    /// Gives its lessons and ends, as a panic or an ordered stop would end it.
    struct ShortLived(Teach);

    impl Actor for ShortLived {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            assert!(self.0.hand_over(lessons(3)));
            ctx.terminate();
        }
    }

    #[actix::test]
    async fn lessons_outlive_the_actor_that_gave_them() {
        let (took, mut taken) = mpsc::unbounded_channel();
        let tries = AtomicUsize::new(0);
        let teach = Teach::new(Port::answering(move |Learn(lessons)| {
            if tries.fetch_add(1, Ordering::Relaxed) < 2 {
                return full();
            }
            took.send(lessons.len()).expect("the test listens");
            Ok(Ok(()))
        }));
        let address = ShortLived(teach.clone()).start();
        assert_eq!(taken.recv().await, Some(3));
        assert!(!address.connected());
        while teach.status().waiting > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(teach.status(), HandOver::default());
    }

    #[tokio::test]
    async fn what_nobody_offers_any_more_does_not_count_as_waiting() {
        let teach = Teach::new(Port::answering(|_| full()));
        let thread = LocalSet::new();
        let offered = teach.clone();
        thread.run_until(async move { assert!(offered.hand_over(lessons(7))) }).await;
        assert_eq!(teach.status(), HandOver { waiting: 7, dropped: 0 });
        drop(thread);
        assert_eq!(teach.status(), HandOver::default());
    }

    #[tokio::test]
    async fn beyond_the_bound_lessons_are_given_up_and_counted() {
        let teach = Teach::new(Port::answering(|_| full()));
        let thread = LocalSet::new();
        let offered = teach.clone();
        thread.run_until(async move { assert!(!offered.hand_over(lessons(MOST as u128 + 1))) }).await;
        assert_eq!(teach.status(), HandOver { waiting: 0, dropped: MOST as u64 + 1 });
    }
}
