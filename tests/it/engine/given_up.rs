//! Runs that nobody carries: given up alone, or ended and wished to go on. What is asked of them reaches them.
use std::sync::atomic::Ordering;
use std::time::Duration;

use dsmil::actors::orchestrator::Orchestrator;
use dsmil::actors::slot::Ref;
use dsmil::clock;
use dsmil::ids::{RunId, SignalName};
use dsmil::messages::orchestrator::{EngineStatus, GetEngineStatus, SteerRun, Wish};
use dsmil::messages::port::Port;
use dsmil::messages::supervision::{Fault, Intervene, Intervened, Intervention};
use serde_json::json;
use tokio::time::sleep;

use super::outside::*;

/// Has a run panic whenever it lives, until its supervisor does so no more.
async fn break_for_good(intervene: &Port<Intervene>, run: RunId) {
    let how = Intervention::Inject(Fault::Panic);
    let drill = || Intervene { name: run.to_string(), how, who: "token:test".to_owned() };
    while intervene.ask(drill()).await != Ok(Intervened::Unknown) {
        sleep(Duration::from_millis(100)).await;
    }
}

async fn status(engine: &Ref<Orchestrator>) -> EngineStatus {
    engine.port().ask(GetEngineStatus).await.expect("answered")
}

async fn wish(engine: &Ref<Orchestrator>, run: RunId, wish: Wish) -> Result<bool, String> {
    let steered = engine.port().ask(SteerRun { run, wish, by: "token:test".into() }).await;
    steered.expect("answered").map_err(|refusal| refusal.to_string())
}

fn last_status(outside: &Outside, run: RunId) -> String {
    outside.load(run).expect("it is stored").status
}

#[test]
fn a_run_that_was_given_up_is_told_of_and_goes_on_when_something_is_asked_of_it() {
    let outside = Outside::default();
    with_tree(outside.clone(), Vec::new(), async |engine, intervene| {
        let waits = json!({"name": "waits", "steps": [{"id": "a", "wait_for": "go"}]});
        let runs = [start_of(&engine, &waits).await, start_of(&engine, &waits).await];
        for run in runs {
            break_for_good(&intervene, run).await;
        }
        let now = status(&engine).await;
        assert_eq!((now.open_runs, now.in_need), (0, 2));
        let go = Wish::Signal { name: SignalName::new("go").expect("a name"), payload: json!(null).into() };
        assert_eq!(wish(&engine, runs[0], go).await, Ok(true));
        ended(&engine, runs[0]).await;
        assert_eq!(wish(&engine, runs[1], Wish::Cancel { undo: false }).await, Ok(true));
        ended(&engine, runs[1]).await;
        assert_eq!(runs.map(|run| last_status(&outside, run)), ["succeeded", "cancelled"]);
        let now = status(&engine).await;
        assert_eq!((now.open_runs, now.in_need), (0, 0));
        assert_eq!(wish(&engine, runs[1], Wish::Pause).await, Ok(false), "it has ended");
    });
    assert_eq!(outside.readings.load(Ordering::Relaxed), 1, "the supervisor of the runs did not give up for them");
}

/// The wish comes between the decision that the run ends and the moment at which that is durable.
#[test]
fn a_retry_that_is_wished_while_the_end_is_being_stored_is_carried_out() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        let fails = json!({"name": "fails", "steps": [
            {"id": "a", "agent": "TESTBED", "tool": "cp.echo", "input": {"fail_at": 1}},
        ]});
        outside.gate.send_replace(true);
        let run = start_of(&engine, &fails).await;
        outside.fates.lock().extend([Fate::Unreachable; 3]);
        outside.gate.send_replace(false);
        while outside.fates.lock().len() == 3 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(last_status(&outside, run), "running", "the end is not stored yet");
        assert_eq!(wish(&engine, run, Wish::Retry).await, Ok(true));
        ended(&engine, run).await;
        assert_eq!(last_status(&outside, run), "succeeded");
        assert_eq!(wish(&engine, run, Wish::Retry).await, Ok(false), "nothing has failed");
    });
    let steps: Vec<_> = outside.seen().into_iter().filter(|seen| matches!(seen, Seen::Step(..))).collect();
    assert_eq!(steps, [Seen::Step("a".into(), 1), Seen::Step("a".into(), 2)]);
}

#[test]
fn a_database_that_is_away_is_asked_less_and_less_often() {
    let outside = Outside::default();
    with_engine(outside.clone(), Vec::new(), async |engine| {
        outside.gate.send_replace(true);
        let run = start(&engine).await.expect("accepted");
        let before = outside.seen().len();
        outside.fates.lock().extend([Fate::Unreachable; 1_000]);
        outside.gate.send_replace(false);
        sleep(Duration::from_secs(60)).await;
        let tries = outside.seen().len() - before;
        assert!((12..30).contains(&tries), "{tries} tries in a minute");
        outside.fates.lock().clear();
        let back = clock::now();
        ended(&engine, run).await;
        assert!(clock::now() - back <= Duration::from_secs(5), "{:?}", clock::now() - back);
        assert_eq!(last_status(&outside, run), "succeeded");
    });
}
