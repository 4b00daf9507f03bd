//! The worker pool under its supervisor: many callers, workers that end in the middle, more work than it may hold.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dsmil::actors::child::{ChildOptions, ChildSpec, Place};
use dsmil::actors::compute::pool::Pool;
use dsmil::actors::home::Home;
use dsmil::actors::root::{RootHandle, start_root};
use dsmil::actors::slot::Ref;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::app::tree_compute::compute;
use dsmil::clock;
use dsmil::compute::digests::{Job, Operation};
use dsmil::config::compute::ComputeConfig;
use dsmil::messages::compute::{Compute, ComputeError, GetPoolStatus, Work};
use dsmil::messages::port::{AskError, Port};
use dsmil::messages::supervision::{Describe, Fault, Intervene, Intervened, Intervention};
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use futures_util::future::join_all;

async fn start(workers: usize, queue: usize) -> (RootHandle, Ref<Pool>) {
    let (spec, pool) = compute(&ComputeConfig { workers, queue }).expect("a branch of the tree");
    let root = start_root(spec, |_| ()).expect("a tree");
    // Workers start in order, the pool last.
    while pool.port().ask(GetPoolStatus).await.is_err() {
        tokio::task::yield_now().await;
    }
    (root, pool)
}

/// Messages of many sizes, different for each number.
fn job(number: usize, messages: usize) -> Arc<Job> {
    let message = |n: usize| vec![(number * 31 + n) as u8; (number * 7 + n * 97) % 4_000];
    let operation = [Operation::Sha256, Operation::MerkleLeaf, Operation::MerkleNode][number % 3];
    Arc::new(Job::new(operation, (0..messages).map(message).collect()))
}

#[actix::test]
async fn each_caller_gets_its_own_digests() {
    let (root, pool) = start(2, 1024).await;
    let port = pool.port::<Compute>();
    let jobs: Vec<Arc<Job>> = (0..200).map(|number| job(number, number % 40)).collect();
    let answers = join_all(jobs.iter().map(|job| port.ask(Compute(Arc::clone(job))))).await;
    for (job, answer) in jobs.iter().zip(answers) {
        assert_eq!(answer, Ok(Ok(job.digests())));
    }
    let status = pool.port().ask(GetPoolStatus).await.expect("a status");
    assert_eq!((status.workers, status.jobs, status.waiting_jobs, status.waiting_bytes), (2, 200, 0, 0));
    assert!(status.batches < 200, "jobs that wait go together: {status:?}");
    root.shutdown(Duration::from_secs(10)).await;
}

#[actix::test]
async fn workers_that_panic_under_load_lose_no_job() {
    let (root, pool) = start(2, 4096).await;
    let port = pool.port::<Compute>();
    let asked = |number: usize| {
        let port = port.clone();
        actix_rt::spawn(async move {
            let job = job(number, 64);
            (port.ask(Compute(Arc::clone(&job))).await, job)
        })
    };
    let mut answers = Vec::new();
    for round in 0..6 {
        // All of it together is less than may wait.
        answers.extend((0..60).map(|number| asked(round * 60 + number)));
        let name = format!("worker-{}", round % 2);
        let how = Intervention::Inject(Fault::Panic);
        let drill = Intervene { name, how, who: "token:test".to_owned() };
        // It may be between two lives.
        let give_up = clock::now() + Duration::from_secs(10);
        loop {
            match root.intervene.ask(drill.clone()).await {
                Ok(Intervened::Done) => break,
                Ok(Intervened::NotAlive) if clock::now() < give_up => {
                    tokio::time::sleep(Duration::from_millis(5)).await
                }
                other => panic!("{other:?}"),
            }
        }
    }
    for answer in answers {
        let (answer, job) = answer.await.expect("not cancelled");
        assert_eq!(answer, Ok(Ok(job.digests())));
    }
    let tree = root.describe.ask(Describe).await.expect("a tree");
    let restarts: u64 =
        tree.children.iter().filter(|child| child.name.starts_with("worker")).map(|child| child.restarts).sum();
    assert!(restarts >= 2, "{tree:?}");
    root.shutdown(Duration::from_secs(10)).await;
}

#[actix::test]
async fn a_worker_that_is_away_is_asked_again_when_it_said() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let pause = Duration::from_millis(300);
    let worker = Port::answering(move |Work(jobs): Work| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Err(AskError::Unavailable { retry_after: pause, reason: "starting again".into() }),
        _ => Ok(jobs.iter().map(|job| job.digests()).collect()),
    });
    let home = Home::start("compute").expect("a thread");
    let options = ChildOptions { breaker: None, ..ChildOptions::at(Place::Shared(home)) };
    let (spec, pool) = ChildSpec::worker("pool", options, move || Pool::new(vec![worker.clone()]));
    let intensity = Intensity { max: 3, within: Duration::from_secs(60) };
    let spec = SupervisorSpec { name: "root".into(), strategy: Strategy::OneForOne, intensity, children: vec![spec] };
    let root = start_root(spec, |_| ()).expect("a tree");
    while pool.port().ask(GetPoolStatus).await.is_err() {
        tokio::task::yield_now().await;
    }
    let (job, begun) = (job(1, 10), clock::now());
    assert_eq!(pool.port().ask(Compute(Arc::clone(&job))).await, Ok(Ok(job.digests())));
    assert!(clock::now() - begun >= 2 * pause, "{:?}", clock::now() - begun);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let status = pool.port().ask(GetPoolStatus).await.expect("a status");
    assert_eq!((status.batches, status.jobs, status.again), (1, 1, 0), "what was refused was no batch");
    root.shutdown(Duration::from_secs(10)).await;
}

#[actix::test]
async fn more_than_it_may_hold_is_refused_at_once() {
    let (root, pool) = start(1, 8).await;
    let port = pool.port::<Compute>();
    // A message of 32 MiB keeps the only worker at work for a while.
    let large = || Arc::new(Job::new(Operation::Sha256, vec![vec![1; 32 << 20]]));
    let asked: Vec<_> = (0..5).map(|_| large()).collect();
    let answers = join_all(asked.iter().map(|job| port.ask(Compute(Arc::clone(job))))).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Ok(Err(ComputeError::Full)))).count();
    assert!((1..5).contains(&refused), "{refused} of five were refused");
    let many = join_all((0..40).map(|number| port.ask(Compute(job(number, 3_000))))).await;
    assert!(many.iter().any(|answer| matches!(answer, Err(AskError::Overloaded))), "eight may wait");
    assert!(many.iter().any(|answer| matches!(answer, Ok(Ok(_)))));
    root.shutdown(Duration::from_secs(10)).await;
}
