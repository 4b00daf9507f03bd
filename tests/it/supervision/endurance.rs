//! Ten thousand crashes: what a life took is given back. The figures are those of a whole process, so that the test
//! runs in one of its own.
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use actix::System;
use dsmil::actors::child::{ChildOptions, Place};
use dsmil::actors::home::Home;
use dsmil::actors::root::start_root;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::messages::port::AskError;
use dsmil::resilience::backoff::Backoff;
use dsmil::resilience::breaker::BreakerOptions;
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use tokio::task::yield_now;

use super::worker::*;

const CYCLES: u64 = 10_000;
/// By then the allocator has what it needs.
const WARM_UP: u64 = 1_000;
/// A leak of 100 bytes for each further crash would be more.
const SLACK: usize = 900_000;
/// Set in the process of its own.
const ALONE: &str = "DSMIL_TEST_ENDURANCE";
const NAME: &str = "supervision::endurance::ten_thousand_crashes_leave_nothing_behind";

#[test]
fn ten_thousand_crashes_leave_nothing_behind() {
    if std::env::var_os(ALONE).is_some() {
        std::panic::set_hook(Box::new(|panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"boom") {
                eprintln!("{panic}");
            }
        }));
        return System::new().block_on(crash_and_restart());
    }
    let this = std::env::current_exe().expect("this program");
    let ended = Command::new(this).args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output().expect("run");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && String::from_utf8_lossy(&ended.stdout).contains("1 passed"), "{said}");
}

async fn crash_and_restart() {
    let breaker = BreakerOptions { in_a_row: u32::MAX, min_calls: usize::MAX, ..BreakerOptions::default() };
    let rules = |home| ChildOptions {
        backoff: Backoff::new(Duration::ZERO, Duration::ZERO),
        breaker: Some(breaker.clone()),
        ..ChildOptions::at(Place::Shared(home))
    };
    let (near, far) = (Arc::<Board>::default(), Arc::<Board>::default());
    let Place::Shared(same_thread) = here() else { unreachable!("here is shared") };
    let (a, one) = worker_with("a", rules(same_thread), &near);
    let (b, two) = worker_with("b", rules(Home::start("other").expect("a thread")), &far);
    let intensity = Intensity { max: usize::MAX, within: ms(100) };
    let spec = SupervisorSpec { name: "root".into(), strategy: Strategy::OneForOne, intensity, children: vec![a, b] };
    let root = start_root(spec, |_| {}).expect("a tree");
    let (mut resident_then, mut threads_then) = (0, 0);
    for cycle in 1..=CYCLES {
        for worker in [&one, &two] {
            while worker.port().ask(Count).await != Ok(1) {
                yield_now().await;
            }
            assert_eq!(worker.epoch(), cycle);
            assert_eq!(worker.port().ask(Boom).await, Err(AskError::Lost));
        }
        if cycle == WARM_UP {
            (resident_then, threads_then) = (resident(), threads());
        }
    }
    for (worker, board) in [(&one, &near), (&two, &far)] {
        while worker.port().ask(Count).await != Ok(1) {
            yield_now().await;
        }
        let (factory_and_test, present_life) = (2, 1);
        assert_eq!(Arc::strong_count(board), factory_and_test + present_life, "actors of earlier lives");
    }
    assert_eq!(threads(), threads_then, "threads");
    let grown = resident().saturating_sub(resident_then);
    println!("{} crashes: {grown} bytes more than after {WARM_UP} of each", 2 * CYCLES);
    assert!(grown < SLACK, "{grown} bytes");
    assert_eq!(root.shutdown(s(5)).await.left_behind, [""; 0]);
}

fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("statm");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("tasks").count()
}
