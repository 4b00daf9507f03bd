//! Waits for the end of a run on behalf of who asks for it.
use std::sync::Arc;
use std::time::Duration;

use crate::ids::RunId;
use crate::messages::orchestrator::WatchRun;
use crate::messages::port::Port;
use crate::toolkit::duration;
use crate::web::error::ApiError;
use crate::workflow::run::Run;

/// The longest wait that is granted; a caller asks again.
const LONGEST: Duration = Duration::from_secs(60);

/// How long the caller may wait who asks for this.
pub(super) fn granted(text: &str) -> Result<Duration, ApiError> {
    let asked = duration::parse(text).map_err(|cause| ApiError::BadRequest(format!("`wait`: {cause}")))?;
    Ok(asked.min(LONGEST))
}

/// How the wait for a run came out.
pub(super) enum Waited {
    Ended(Arc<Run>),
    /// It is not open, or its end was missed: the journal has it.
    NotOpen,
    StillOpen,
}

/// Waits for the end of a run that has not ended, but not for ever.
pub(super) async fn until_ended(watch: &Port<WatchRun>, run: RunId, wait: Duration) -> Result<Waited, ApiError> {
    let Some(mut progress) = watch.ask(WatchRun(run)).await? else { return Ok(Waited::NotOpen) };
    let ended = async {
        // The channel closes with the run.
        while progress.borrow_and_update().ended.is_none() && progress.changed().await.is_ok() {}
        progress.borrow().ended.clone()
    };
    Ok(match tokio::time::timeout(wait, ended).await {
        Ok(Some(run)) => Waited::Ended(run),
        Ok(None) => Waited::NotOpen,
        Err(_) => Waited::StillOpen,
    })
}
