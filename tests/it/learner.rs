//! The learner between a spool and a database that comes and goes.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::DateTime;
use dsmil::actors::child::{ChildOptions, ChildSpec, Place, Readiness};
use dsmil::actors::home::Home;
use dsmil::actors::learner::{Knowledge, Learner, LearnerPorts};
use dsmil::actors::root::{RootHandle, start_root};
use dsmil::actors::slot::Ref;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::actors::teach::Teach;
use dsmil::clock;
use dsmil::ids::{AgentId, RunId, StepId, ToolId};
use dsmil::learning::embed::Embedder;
use dsmil::learning::lesson::{Lesson, StepLesson};
use dsmil::learning::rank::Rules;
use dsmil::logfiles::spool::Bounds;
use dsmil::messages::learner::{Choose, GetLearnerStatus, Learn, LearnError, Predict, StoreLessons};
use dsmil::messages::port::Port;
use dsmil::messages::supervision::{Describe, Fault, Intervene, Intervened, Intervention};
use dsmil::resilience::backoff::Backoff;
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use dsmil::toolkit::output::Status;
use dsmil::workflow::record::StoreError;
use dsmil::workflow::step::Task;
use parking_lot::Mutex;
use uuid::Uuid;

/// A database that may be away; a set, as its unique keys make it one.
#[derive(Clone, Default)]
struct Outside {
    away: Arc<AtomicBool>,
    stored: Arc<Mutex<BTreeSet<u128>>>,
}

impl Outside {
    fn store(&self, StoreLessons(batch): StoreLessons) -> Result<u64, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable { detail: "away".into() });
        }
        let mut stored = self.stored.lock();
        let new = batch.steps.iter().filter(|step| stored.insert(step.lesson.run.0.as_u128())).count();
        Ok(new as u64)
    }

    async fn until(&self, count: usize) {
        let give_up = clock::now() + Duration::from_secs(60);
        while self.stored.lock().len() < count {
            assert!(clock::now() < give_up, "{} of {count} lessons landed", self.stored.lock().len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn start(dir: &Path, outside: &Outside) -> (RootHandle, Ref<Learner>) {
    let home = Home::start("learner").expect("a thread");
    let outside = outside.clone();
    let (storing, reading) = (outside.clone(), outside);
    let near = Port::answering(move |_| match reading.away.load(Ordering::SeqCst) {
        true => Ok(Err(StoreError::Unreachable { detail: "away".into() })),
        false => Ok(Ok(Vec::new())),
    });
    let ports = LearnerPorts { store: Port::answering(move |lessons| Ok(storing.store(lessons))), near };
    let embedder = Embedder::shipped().expect("a model");
    let knowledge = Arc::new(Knowledge {
        embedder,
        cards: Vec::new(),
        what: Default::default(),
        built: BTreeSet::new(),
        facts: Default::default(),
        rules: Rules::default(),
    });
    let options = ChildOptions {
        readiness: Readiness::WhenReady { within: Duration::from_secs(30) },
        backoff: Backoff::new(Duration::from_millis(5), Duration::from_millis(50)),
        ..ChildOptions::at(Place::Shared(home))
    };
    let dir = dir.to_owned();
    let make = move || Learner::new(dir.clone(), Bounds::default(), Arc::clone(&knowledge), ports.clone());
    let (spec, learner) = ChildSpec::worker("learner", options, make);
    let intensity = Intensity { max: 50, within: Duration::from_secs(60) };
    let spec = SupervisorSpec { name: "root".into(), strategy: Strategy::OneForOne, intensity, children: vec![spec] };
    (start_root(spec, |_| ()).expect("a tree"), learner)
}

fn lesson(n: u128) -> Lesson {
    Lesson::Step(StepLesson {
        run: RunId(Uuid::from_u128(n)),
        step: StepId::new("a").expect("id"),
        attempt: 1,
        at: DateTime::UNIX_EPOCH,
        agent: AgentId::new("PACER").expect("id"),
        tool: ToolId::new("load.read").expect("id"),
        task: None,
        workflow: "w".to_owned(),
        duration_ms: 1.0,
        outcome: Status::Ok,
        usage: None,
        audit_index: None,
    })
}

fn teach(teach: &Teach, numbers: std::ops::Range<u128>) {
    for n in numbers {
        assert!(teach.hand_over(vec![lesson(n)]), "there is room");
    }
}

#[actix::test]
async fn lessons_wait_on_disk_while_the_database_is_away_and_outlive_a_restart() {
    let (dir, outside) = (tempfile::tempdir().expect("a directory"), Outside::default());
    outside.away.store(true, Ordering::SeqCst);
    let (root, learner) = start(dir.path(), &outside);
    teach(&Teach::new(learner.port()), 0..1_000);
    let status = learner.port::<GetLearnerStatus>();
    let give_up = clock::now() + Duration::from_secs(60);
    while !status.ask(GetLearnerStatus).await.is_ok_and(|status| status.waiting == 1_000) {
        assert!(clock::now() < give_up, "the lessons are not taken in");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let farewell = root.shutdown(Duration::from_secs(10)).await;
    assert_eq!((farewell.left_behind.len(), outside.stored.lock().len()), (0, 0));

    outside.away.store(false, Ordering::SeqCst);
    let (root, learner) = start(dir.path(), &outside);
    outside.until(1_000).await;
    let status = learner.port::<GetLearnerStatus>();
    while !status.ask(GetLearnerStatus).await.is_ok_and(|status| status.waiting == 0) {
        assert!(clock::now() < give_up, "the spool is not emptied");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0);
    root.shutdown(Duration::from_secs(10)).await;
}

#[actix::test]
async fn an_ordered_stop_brings_what_waits() {
    let (dir, outside) = (tempfile::tempdir().expect("a directory"), Outside::default());
    let (root, learner) = start(dir.path(), &outside);
    let lessons = (0..700).map(lesson).collect::<Vec<_>>();
    let learn = learner.port();
    while !matches!(learn.ask(Learn(lessons.clone())).await, Ok(Ok(()))) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let farewell = root.shutdown(Duration::from_secs(20)).await;
    assert!(farewell.left_behind.is_empty(), "{:?}", farewell.left_behind);
    assert_eq!(outside.stored.lock().len(), 700);
}

#[actix::test]
async fn a_learner_that_panics_under_load_loses_nothing() {
    let (dir, outside) = (tempfile::tempdir().expect("a directory"), Outside::default());
    let (root, learner) = start(dir.path(), &outside);
    let teaching = Teach::new(learner.port());
    let panic =
        Intervene { name: "learner".to_owned(), how: Intervention::Inject(Fault::Panic), who: "token:test".to_owned() };
    // one more without a success between them would open the breaker
    for round in 0..4_u128 {
        teach(&teaching, 250 * round..250 * (round + 1));
        let (life, give_up) = (learner.epoch(), clock::now() + Duration::from_secs(60));
        let mut told = false;
        while learner.epoch() == life {
            assert!(clock::now() < give_up, "the learner was not started again");
            told = told || root.intervene.ask(panic.clone()).await == Ok(Intervened::Done);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    outside.until(1_000).await;
    root.shutdown(Duration::from_secs(10)).await;
}

#[actix::test]
async fn a_learner_whose_spool_cannot_be_read_is_started_again_and_works() {
    let (dir, outside) = (tempfile::tempdir().expect("a directory"), Outside::default());
    outside.away.store(true, Ordering::SeqCst);
    let (root, learner) = start(dir.path(), &outside);
    let learn = learner.port();
    let keep = async |n: u128| {
        while !matches!(learn.ask(Learn(vec![lesson(n)])).await, Ok(Ok(()))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    keep(1).await;
    for file in std::fs::read_dir(dir.path()).expect("listed") {
        std::fs::remove_file(file.expect("a file").path()).expect("removed");
    }
    let give_up = clock::now() + Duration::from_secs(60);
    let restarts = async || root.describe.ask(Describe).await.expect("a tree").children[0].restarts;
    while restarts().await == 0 {
        assert!(clock::now() < give_up, "the learner stays up without its spool");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    outside.away.store(false, Ordering::SeqCst);
    keep(2).await;
    outside.until(1).await;
    root.shutdown(Duration::from_secs(10)).await;
}

#[actix::test]
async fn without_the_database_nobody_is_chosen_and_the_reason_is_told() {
    let (dir, outside) = (tempfile::tempdir().expect("a directory"), Outside::default());
    let (root, learner) = start(dir.path(), &outside);
    outside.away.store(true, Ordering::SeqCst);
    let predict = learner.port::<Predict>();
    let asked = || Predict { task: "read the load".into(), context: Default::default() };
    let answer = loop {
        match predict.ask(asked()).await {
            Ok(answer) => break answer,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(answer, Err(LearnError::Past { detail: "the database is not reachable: away".into() }));
    outside.away.store(false, Ordering::SeqCst);
    let task = Task { text: "read the load".into(), tool: None };
    let chosen = learner.port().ask(Choose(task)).await.expect("answered").expect("read");
    assert_eq!(chosen, Err("there is no agent to choose from".to_owned()));
    root.shutdown(Duration::from_secs(10)).await;
}
