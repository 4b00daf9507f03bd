//! The engine between a store and agents that do as they are told. Time is paused, so that retries pass at once.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dsmil::ids::RunId;
use dsmil::messages::orchestrator::{GetEngineStatus, GetRun, StartError, StartRun, SteerRun, Wish};
use dsmil::workflow::check::check;
use dsmil::workflow::record::{DamagedRun, StoreError};
use parking_lot::Mutex;
use serde_json::json;
use uuid::Uuid;

use self::outside::*;

mod faults;
mod given_up;
mod outside;

fn append(kinds: &[&str]) -> Seen {
    Seen::Append(kinds.iter().map(|kind| (*kind).to_owned()).collect())
}

fn step(id: &str, attempt: u32) -> Seen {
    Seen::Step(id.to_owned(), attempt)
}

const BEGIN: [&str; 2] = ["accepted", "step_started"];

#[test]
fn nothing_is_done_before_it_is_journalled() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let run = start(&engine).await.expect("accepted");
        ended(&engine, run).await;
    });
    let next = ["attempt_done", "step_started"];
    let expected = [append(&BEGIN), step("a", 1), append(&next), step("b", 1), append(&["attempt_done", "finished"])];
    assert_eq!(outside.seen(), expected);
}

#[test]
fn a_task_is_given_to_whom_the_learner_chooses_and_the_choice_is_journalled() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let steps = json!([{"id": "a", "task": "anything"}, {"id": "b", "task": "not a word"}]);
        let plan = check(&json!({"mode": "parallel", "steps": steps}), &world()).expect("a plan");
        let run = engine
            .port()
            .ask(StartRun { plan, by: "token:test".into(), carried: Vec::new(), submission: None, child: None })
            .await
            .expect("answered");
        ended(&engine, run.expect("accepted")).await;
    });
    let kinds: Vec<String> = outside.stored.lock().iter().flat_map(|a| a.rows.iter().map(|r| r.kind.clone())).collect();
    for (kind, count) in [("step_chosen", 1), ("step_started", 1), ("attempt_done", 1), ("step_ended", 1)] {
        assert_eq!(kinds.iter().filter(|found| *found == kind).count(), count, "{kind} in {kinds:?}");
    }
    assert!(outside.seen().contains(&step("a", 1)));
}

#[test]
fn a_run_that_is_certainly_not_stored_is_refused_and_forgotten() {
    let outside = Outside { fates: Arc::new(Mutex::new([Fate::Unreachable].into())), ..Outside::default() };
    with_engine(outside.clone(), Vec::new(), async |engine| {
        assert!(matches!(start(&engine).await, Err(StartError::NotDurable { .. })));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(engine.port().ask(GetEngineStatus).await.expect("answered").open_runs, 0);
    });
    assert_eq!(outside.seen(), [append(&BEGIN)]);
}

/// After an unknown outcome the run may be stored: a refusal that follows proves nothing about it.
#[test]
fn a_run_that_may_be_stored_is_never_forgotten() {
    let fates = [Fate::Unknown, Fate::Unreachable, Fate::Unreachable];
    let outside = Outside { fates: Arc::new(Mutex::new(fates.into())), ..Outside::default() };
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let run = start(&engine).await.expect("accepted once the database is back");
        ended(&engine, run).await;
    });
    let seen = outside.seen();
    assert_eq!(seen[..5], [append(&BEGIN), append(&BEGIN), append(&BEGIN), append(&BEGIN), step("a", 1)]);
    assert_eq!(seen.last(), Some(&append(&["attempt_done", "finished"])));
}

#[test]
fn for_a_run_that_was_cancelled_the_learner_is_asked_no_more() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let document = json!({"name": "later", "steps": [{"id": "a", "task": "later", "timeout": "10m"}]});
        let plan = check(&document, &world()).expect("a plan");
        let started = engine
            .port()
            .ask(StartRun { plan, by: "token:test".into(), carried: Vec::new(), submission: None, child: None })
            .await
            .expect("answered");
        let run = started.expect("accepted");
        while outside.put_off.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(
            engine.port().ask(SteerRun { run, wish: Wish::Cancel { undo: false }, by: "token:test".into() }).await,
            Ok(Ok(true))
        );
        ended(&engine, run).await;
        let before = outside.put_off.load(Ordering::Relaxed);
        // Paused time: these minutes pass at once, and would hold dozens of questions.
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(outside.put_off.load(Ordering::Relaxed), before);
    });
}

#[test]
fn what_the_last_start_left_open_goes_on_from_its_journal() {
    let first = Outside::default();
    with_engine(first.clone(), Vec::new(), async |engine| {
        let run = start(&engine).await.expect("accepted");
        ended(&engine, run).await;
    });
    // The journal as a kill would leave it: step `a` was begun, and nobody knows how it ended.
    first.stored.lock().truncate(1);
    let run = first.stored.lock()[0].run;
    let stored = first.load(run).expect("it is stored");
    let second = Outside::default();
    let cause = StoreError::Damaged { table: "state.journal", detail: "row 1".into() };
    let damaged = DamagedRun { run: RunId(Uuid::nil()), cause };
    with_engine(second.clone(), vec![Err(damaged), Ok(stored)], async |engine| {
        ended(&engine, run).await;
        assert_eq!(engine.port().ask(GetRun(run)).await, Ok(None), "it has ended: the store has it");
    });
    let steps: Vec<_> = second.seen().into_iter().filter(|seen| matches!(seen, Seen::Step(..))).collect();
    assert_eq!(steps, [step("a", 2), step("b", 1)]);
    let last = second.stored.lock().last().cloned().expect("an append");
    assert_eq!(last.status, "succeeded");
}

#[test]
fn one_who_asks_again_waits_for_what_was_asked_before() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let document = json!({"name": "waits", "steps": [{"id": "a", "task": "later", "tool": "cp.echo"}]});
        let plan = check(&document, &world()).expect("a plan");
        let run = engine
            .port()
            .ask(StartRun { plan, by: "token:test".into(), carried: Vec::new(), submission: None, child: None })
            .await
            .expect("answered")
            .expect("accepted");
        let port = engine.port();
        let pause = || port.ask(SteerRun { run, wish: Wish::Pause, by: "token:test".into() });
        outside.fates.lock().extend([Fate::Unreachable; 100]);
        assert!(matches!(pause().await, Ok(Err(StartError::NotDurable { .. }))), "not confirmed in time");
        outside.fates.lock().clear();
        assert_eq!(pause().await, Ok(Ok(true)));
        assert_eq!(pause().await, Ok(Ok(false)), "it is paused already");
        assert_eq!(
            engine.port().ask(SteerRun { run, wish: Wish::Cancel { undo: false }, by: "token:test".into() }).await,
            Ok(Ok(true))
        );
    });
}

#[test]
fn thousands_of_runs_are_open_at_once_and_all_end() {
    let many = if std::env::var_os("DSMIL_SOAK").is_some() { MOST } else { 2_000 };
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        outside.gate.send_replace(true);
        let began = real_now();
        let port = engine.port::<StartRun>();
        let starting = (0..many).map(|_| {
            port.ask(StartRun {
                plan: plan(),
                by: "token:test".into(),
                carried: Vec::new(),
                submission: None,
                child: None,
            })
        });
        let starting: Vec<_> = starting.collect();
        for started in starting {
            started.await.expect("answered").expect("accepted");
        }
        let started = began.elapsed();
        let status = engine.port::<GetEngineStatus>();
        let open = status.ask(GetEngineStatus).await.expect("answered");
        assert_eq!((open.open_runs, open.running_steps), (many, many));
        outside.gate.send_replace(false);
        while status.ask(GetEngineStatus).await.expect("answered").open_runs > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("{many} runs open at once: begun in {started:.2?}, all ended after {:.2?}", began.elapsed());
    });
    let ends = outside.stored.lock().iter().filter(|append| append.status == "succeeded").count();
    assert_eq!(ends, many);
}
