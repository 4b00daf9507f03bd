//! Follows a run of a schedule to its end, whoever carries it meanwhile.
use std::time::Duration;

use crate::ids::RunId;
use crate::messages::orchestrator::WatchRun;
use crate::messages::port::Port;
use crate::messages::store::LoadRun;

/// Between two looks for the end of a run that nobody carries: at first, and at most.
const LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// Answers when the run has ended.
pub(super) async fn until_ended(watch: Port<WatchRun>, load: Port<LoadRun>, run: RunId) -> RunId {
    let mut pause = LOOK;
    loop {
        if let Ok(Some(mut progress)) = watch.ask(WatchRun(run)).await {
            // The channel closes with the run.
            while progress.borrow_and_update().ended.is_none() && progress.changed().await.is_ok() {}
            if progress.borrow().ended.is_some() {
                return run;
            }
        }
        // It has ended a while ago, or its runner is being started anew: the journal knows.
        match load.ask(LoadRun(run)).await {
            Ok(Ok(None)) => return run,
            Ok(Ok(Some(stored))) if stored.outcome.is_some() => return run,
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_LOOK);
    }
}
