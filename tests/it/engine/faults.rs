//! Parts of the engine that break: others go on, and what broke goes on from the journal.
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use dsmil::ids::RunId;
use dsmil::messages::orchestrator::{GetEngineStatus, GetRun, SteerRun, WatchRun, Wish};
use dsmil::messages::port::Port;
use dsmil::messages::store::AppendRun;
use dsmil::messages::supervision::{Fault, Intervene, Intervened, Intervention};
use dsmil::workflow::record::JournalRow;
use serde_json::json;
use tokio::time::sleep;

use super::outside::*;

async fn break_down(intervene: &Port<Intervene>, name: impl ToString) {
    let how = Intervention::Inject(Fault::Panic);
    let drill = Intervene { name: name.to_string(), how, who: "token:test".to_owned() };
    assert_eq!(intervene.ask(drill).await, Ok(Intervened::Done));
    sleep(Duration::from_secs(1)).await;
}

fn kinds(outside: &Outside, run: RunId) -> Vec<String> {
    let stored = outside.stored.lock();
    let rows = stored.iter().filter(|append| append.run == run).flat_map(|append| &append.rows);
    rows.map(|row| row.kind.clone()).collect()
}

/// The journal of a run of two steps that nothing disturbed, and of one whose first attempt was lost.
const STRAIGHT: [&str; 6] = ["accepted", "step_started", "attempt_done", "step_started", "attempt_done", "finished"];
const ONCE_LOST: [&str; 8] = [
    "accepted",
    "step_started",
    "attempt_lost",
    "step_started",
    "attempt_done",
    "step_started",
    "attempt_done",
    "finished",
];

#[test]
fn a_panic_in_one_run_disturbs_no_other_and_the_run_goes_on_from_its_journal() {
    let outside = Outside::default();
    with_tree(outside.clone(), Vec::new(), async |engine, intervene| {
        outside.gate.send_replace(true);
        let (broken, other) = (start(&engine).await.expect("accepted"), start(&engine).await.expect("accepted"));
        let mut changes = engine.port().ask(WatchRun(broken)).await.expect("answered").expect("it is open");
        break_down(&intervene, broken).await;
        let raised: Vec<bool> = outside.flags.lock().iter().map(|flag| flag.is_raised()).collect();
        assert_eq!(raised, [true, false, false], "nobody waits any more for what the first attempt does");
        let status = engine.port().ask(GetEngineStatus).await.expect("answered");
        assert_eq!((status.open_runs, status.running_steps), (2, 2));
        assert!(engine.port().ask(GetRun(broken)).await.expect("answered").is_some());
        assert_eq!(
            engine.port().ask(SteerRun { run: broken, wish: Wish::Pause, by: "token:test".into() }).await,
            Ok(Ok(true))
        );
        assert_eq!(
            engine.port().ask(SteerRun { run: broken, wish: Wish::Resume, by: "token:test".into() }).await,
            Ok(Ok(true))
        );
        outside.gate.send_replace(false);
        while changes.changed().await.is_ok() {}
        ended(&engine, other).await;
        assert_eq!(kinds(&outside, other), STRAIGHT);
        let steered: Vec<String> = kinds(&outside, broken)
            .into_iter()
            .filter(|kind| !["paused", "resumed"].contains(&kind.as_str()))
            .collect();
        assert_eq!(steered, ONCE_LOST);
        assert_eq!(outside.stored.lock().iter().filter(|append| append.status == "succeeded").count(), 2);
    });
}

/// It may be the step that breaks it: the step is not begun for ever.
#[test]
fn a_run_that_panics_again_and_again_ends_as_failed() {
    let outside = Outside::default();
    with_tree(outside.clone(), Vec::new(), async |engine, intervene| {
        outside.gate.send_replace(true);
        let (broken, other) = (start(&engine).await.expect("accepted"), start(&engine).await.expect("accepted"));
        for _ in 0..4 {
            break_down(&intervene, broken).await;
        }
        ended(&engine, broken).await;
        assert_eq!(kinds(&outside, broken).last().map(String::as_str), Some("finished"));
        let last = outside.stored.lock().iter().rfind(|append| append.run == broken).cloned().expect("an append");
        assert_eq!(last.status, "failed");
        assert_eq!(
            engine
                .port()
                .ask(SteerRun { run: broken, wish: Wish::Cancel { undo: false }, by: "token:test".into() })
                .await,
            Ok(Ok(false))
        );
        outside.gate.send_replace(false);
        ended(&engine, other).await;
        assert_eq!(kinds(&outside, other), STRAIGHT);
    });
}

#[test]
fn runs_go_on_while_the_orchestrator_is_started_anew() {
    let outside = Outside::default();
    with_tree(outside.clone(), Vec::new(), async |engine, intervene| {
        outside.gate.send_replace(true);
        let mut runs = Vec::new();
        for _ in 0..3 {
            runs.push(start(&engine).await.expect("accepted"));
        }
        break_down(&intervene, "orchestrator").await;
        assert_eq!(engine.epoch(), 2);
        let status = engine.port().ask(GetEngineStatus).await.expect("answered");
        assert_eq!((status.open_runs, status.running_steps, status.recovered), (3, 3, true));
        assert_eq!(outside.readings.load(Ordering::Relaxed), 1, "it knows them without the journal");
        assert_eq!(
            engine.port().ask(SteerRun { run: runs[0], wish: Wish::Pause, by: "token:test".into() }).await,
            Ok(Ok(true))
        );
        assert_eq!(
            engine.port().ask(SteerRun { run: runs[0], wish: Wish::Resume, by: "token:test".into() }).await,
            Ok(Ok(true))
        );
        runs.push(start(&engine).await.expect("accepted"));
        outside.gate.send_replace(false);
        for run in &runs {
            ended(&engine, *run).await;
        }
        for run in &runs[1..] {
            assert_eq!(kinds(&outside, *run), STRAIGHT);
        }
        let lost = kinds(&outside, runs[0]).iter().filter(|kind| *kind == "attempt_lost").count();
        assert_eq!(lost, 0);
    });
}

#[test]
fn when_the_supervisor_of_the_runs_breaks_all_go_on_from_their_journals() {
    let outside = Outside::default();
    with_tree(outside.clone(), Vec::new(), async |engine, intervene| {
        outside.gate.send_replace(true);
        let runs = [start(&engine).await.expect("accepted"), start(&engine).await.expect("accepted")];
        break_down(&intervene, "runs").await;
        let status = engine.port().ask(GetEngineStatus).await.expect("answered");
        assert_eq!((status.open_runs, status.running_steps, status.recovered), (2, 2, true));
        assert_eq!(outside.readings.load(Ordering::Relaxed), 2);
        outside.gate.send_replace(false);
        for run in runs {
            ended(&engine, run).await;
            assert_eq!(kinds(&outside, run), ONCE_LOST);
        }
    });
}

/// A life that was left behind on a held thread may yet write a row.
#[test]
fn a_run_whose_journal_went_on_without_it_reads_it_again() {
    let outside = Outside::default();
    with_tree(outside.clone(), Vec::new(), async |engine, _| {
        outside.gate.send_replace(true);
        let run = start(&engine).await.expect("accepted");
        let foreign = JournalRow {
            seq: 2,
            at: DateTime::UNIX_EPOCH,
            kind: "paused".to_owned(),
            step: None,
            agent: None,
            tool: None,
            status: None,
            body: json!({ "kind": "paused", "by": "token:before" }).into(),
            entry: None,
        };
        let append = AppendRun {
            run,
            header: None,
            registration: None,
            rows: vec![foreign],
            status: "paused".into(),
            outcome: None,
        };
        outside.stored.lock().push(append);
        outside.fates.lock().push_back(Fate::Refused);
        outside.gate.send_replace(false);
        sleep(Duration::from_secs(5)).await;
        let shown = engine.port().ask(GetRun(run)).await.expect("answered").expect("it is open");
        assert_eq!(shown.paused_by(), Some("token:before"));
        assert_eq!(
            engine.port().ask(SteerRun { run, wish: Wish::Resume, by: "token:test".into() }).await,
            Ok(Ok(true))
        );
        ended(&engine, run).await;
        let first = ["accepted", "step_started", "paused", "attempt_lost", "resumed", "step_started", "attempt_done"];
        assert_eq!(kinds(&outside, run)[..7], first);
    });
}
