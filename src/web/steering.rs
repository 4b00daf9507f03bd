//! `/workflows/{id}/...`: what can be asked of a run once it is accepted.
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path, Payload, Query};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::accepted::{Accepted, Cancelled};
use crate::api::run::RunStatus;
use crate::ids::{Digest, RunId, SignalName, StepId};
use crate::messages::orchestrator::{GetRun, StartRun, SteerRun, Wish};
use crate::messages::store::LoadRun;
use crate::web::auth::Caller;
use crate::web::body::optional_json_body;
use crate::web::error::ApiError;
use crate::web::run_shape::rebuilt;
use crate::web::workflows::{Workflows, current, no_run, run_id};
use crate::workflow::fork::ForkError;
use crate::workflow::run::Run;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HowToCancel {
    /// Undo what the run changed, whatever its document says.
    #[serde(default)]
    undo: bool,
}

pub async fn cancel(
    deps: Data<Workflows>,
    id: Path<String>,
    how: Query<HowToCancel>,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    let run = run_id(&id)?;
    let wish = Wish::Cancel { undo: how.undo };
    let cancelling = deps.steer.ask(SteerRun { run, wish, by: caller.to_string() }).await??;
    if !cancelling && deps.load.ask(LoadRun(run)).await??.is_none() {
        return Err(no_run(run));
    }
    Ok(HttpResponse::Accepted().json(Cancelled { workflow_id: run, cancelling }))
}

pub async fn pause(deps: Data<Workflows>, id: Path<String>, caller: Caller) -> Result<HttpResponse, ApiError> {
    steer(&deps, run_id(&id)?, Wish::Pause, caller, RunStatus::Paused, "cannot be paused").await
}

pub async fn resume(deps: Data<Workflows>, id: Path<String>, caller: Caller) -> Result<HttpResponse, ApiError> {
    steer(&deps, run_id(&id)?, Wish::Resume, caller, RunStatus::Running, "cannot be resumed").await
}

pub async fn undo(deps: Data<Workflows>, id: Path<String>, caller: Caller) -> Result<HttpResponse, ApiError> {
    steer(&deps, run_id(&id)?, Wish::Undo, caller, RunStatus::Running, "has nothing that could be undone").await
}

pub async fn retry(deps: Data<Workflows>, id: Path<String>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let why = "has no failed step that could be done again";
    steer(&deps, run_id(&id)?, Wish::Retry, caller, RunStatus::Running, why).await
}

pub async fn signal(
    deps: Data<Workflows>,
    path: Path<(String, String)>,
    payload: Payload,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    let (id, name) = path.into_inner();
    let run = run_id(&id)?;
    let name = SignalName::new(&name).map_err(|cause| ApiError::BadRequest(cause.to_string()))?;
    let payload: Value = optional_json_body(payload).await?.unwrap_or_default();
    let most = deps.world.limits.max_value_bytes;
    if crate::workflow::template::larger_than(&payload, most) {
        return Err(ApiError::BadRequest(format!("the body is larger than the {most} bytes allowed for a value")));
    }
    let why = format!("has no step that waits for the signal `{name}`");
    let wish = Wish::Signal { name, payload: Arc::new(payload) };
    steer(&deps, run, wish, caller, RunStatus::Running, &why).await
}

/// A decision about a step that waits for one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// False: it is not to be done.
    #[serde(default = "yes")]
    approve: bool,
    /// Decide only about what has this digest, as `GET /workflows/{id}` shows it.
    #[serde(default)]
    digest: Option<Digest>,
    #[serde(default)]
    #[schemars(length(max = 1_000))]
    comment: Option<String>,
}

fn yes() -> bool {
    true
}

impl Default for Verdict {
    fn default() -> Self {
        Verdict { approve: true, digest: None, comment: None }
    }
}

pub async fn approve(
    deps: Data<Workflows>,
    path: Path<(String, String)>,
    payload: Payload,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    let (id, step) = path.into_inner();
    let run = run_id(&id)?;
    let Verdict { approve, digest, comment } = optional_json_body(payload).await?.unwrap_or_default();
    if comment.as_ref().is_some_and(|comment| comment.len() > 1_000) {
        return Err(ApiError::BadRequest("`comment` is longer than 1000 bytes".to_owned()));
    }
    let state = whole(&deps, run).await?;
    let place = StepId::new(&step).ok().and_then(|id| state.place(&id));
    let known = place.map(|place| state.spec(place));
    let known = known.ok_or_else(|| ApiError::NotFound(format!("run {run} has no step `{step}`")))?;
    let approval = known.approve.as_ref();
    let approval = approval.ok_or_else(|| ApiError::Conflict(format!("step `{step}` asks nobody for approval")))?;
    if !caller.who.role.may(approval.role) {
        return Err(ApiError::NotAllowed { has: caller.who.role, needed: approval.role });
    }
    let of = state.step(&known.id).and_then(|state| state.asked()).and_then(|asked| asked.digest);
    if let Some(meant) = digest.filter(|meant| of.is_some_and(|of| of != *meant)) {
        let detail = format!("what waits for approval is not {meant} any more; look at it again");
        return Err(ApiError::Conflict(detail));
    }
    let wish = Wish::Decide { step: known.id.clone(), approved: approve, digest, comment };
    steer(&deps, run, wish, caller, RunStatus::Running, "has no such decision to be taken").await
}

/// What to change in a fork.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The first step that is done anew, with all that come after it; without it all steps are.
    #[serde(default)]
    from: Option<String>,
    /// In place of the inputs of the same name.
    #[serde(default)]
    inputs: Map<String, Value>,
}

pub async fn fork(
    deps: Data<Workflows>,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    let run = run_id(&id)?;
    let Fork { from, inputs } = optional_json_body(payload).await?.unwrap_or_default();
    let source = whole(&deps, run).await?;
    let (plan, carried) = source.fork(from.as_deref(), &inputs).map_err(unfit)?;
    let id =
        deps.start.ask(StartRun { plan, by: caller.to_string(), carried, submission: None, child: None }).await??;
    let answer = Accepted { workflow_id: id, status: RunStatus::Pending };
    Ok(HttpResponse::Accepted().insert_header((LOCATION, format!("/api/v1/workflows/{id}"))).json(answer))
}

fn unfit(cause: ForkError) -> ApiError {
    let pointer = match &cause {
        ForkError::NoStep(_) => "/from".to_owned(),
        ForkError::NoInput(name) => crate::workflow::fault::below("/inputs", name),
        ForkError::TooLarge(_) => "/inputs".to_owned(),
    };
    ApiError::Faults(vec![crate::api::problem::Fault { pointer, detail: cause.to_string() }])
}

/// Asks the run to do so; what it cannot do is a conflict with the reason.
async fn steer(
    deps: &Workflows,
    run: RunId,
    wish: Wish,
    caller: Caller,
    status: RunStatus,
    otherwise: &str,
) -> Result<HttpResponse, ApiError> {
    if deps.steer.ask(SteerRun { run, wish, by: caller.to_string() }).await?? {
        return Ok(HttpResponse::Accepted().json(Accepted { workflow_id: run, status }));
    }
    let shown = current(deps, run).await?;
    let by = shown.paused_by.map(|by| format!(" by {by}")).unwrap_or_default();
    Err(ApiError::Conflict(format!("run {run} is {}{by} and {otherwise}", shown.status)))
}

/// The run with its plan, from the engine or from its journal.
async fn whole(deps: &Workflows, run: RunId) -> Result<Run, ApiError> {
    if let Ok(Some(open)) = deps.get.ask(GetRun(run)).await {
        return Ok(open);
    }
    rebuilt(deps.load.ask(LoadRun(run)).await??.ok_or_else(|| no_run(run))?)
}
