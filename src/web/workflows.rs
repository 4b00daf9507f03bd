//! `/workflows`: submit, list, look at and cancel runs.
use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query, ReqData};
use serde::Deserialize;

use crate::api;
use crate::api::run::RunStatus;
use crate::ids::RunId;
use crate::messages::orchestrator::CancelRun;
use crate::messages::orchestrator::GetRun;
use crate::messages::orchestrator::StartRun;
use crate::messages::orchestrator::WatchRun;
use crate::messages::port::Port;
use crate::messages::store::ListRuns;
use crate::messages::store::LoadRun;
use crate::messages::store::RunSummary;
use crate::web::auth::Caller;
use crate::web::error::ApiError;

/// What these routes need.
#[derive(Clone)]
pub struct Workflows {
    pub start: Port<StartRun>,
    pub get: Port<GetRun>,
    pub watch: Port<WatchRun>,
    pub cancel: Port<CancelRun>,
    pub load: Port<LoadRun>,
    pub list: Port<ListRuns>,
}

const PAGE: u32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    status: Option<RunStatus>,
    name: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub async fn list(deps: Data<Workflows>, filter: Query<Filter>) -> Result<HttpResponse, ApiError> {
    let Filter { status, name, limit, cursor } = filter.into_inner();
    let before = cursor.map(|cursor| run_id(&cursor)).transpose()?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=500).contains(&limit) {
        return Err(ApiError::BadRequest(format!("`limit` is {limit}; it may be 1 to 500")));
    }
    let status = status.map(|status| status.as_str().to_owned());
    let page = deps.list.ask(ListRuns { status, name, limit, before }).await??;
    let workflows = page.runs.into_iter().map(summary).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(api::run::Runs { workflows, next: page.next.map(|run| run.to_string()) }))
}

pub async fn cancel(
    deps: Data<Workflows>,
    id: Path<String>,
    caller: ReqData<Caller>,
) -> Result<HttpResponse, ApiError> {
    let run = run_id(&id)?;
    let cancelling = deps.cancel.ask(CancelRun { run, by: caller.to_string() }).await?;
    if !cancelling && deps.load.ask(LoadRun(run)).await??.is_none() {
        return Err(no_run(run));
    }
    Ok(HttpResponse::Accepted().json(api::accepted::Cancelled { workflow_id: run, cancelling }))
}

fn run_id(text: &str) -> Result<RunId, ApiError> {
    text.parse().map_err(|cause: crate::ids::BadName| ApiError::BadRequest(cause.to_string()))
}

fn no_run(run: RunId) -> ApiError {
    ApiError::NotFound(format!("there is no run `{run}`"))
}

fn summary(run: RunSummary) -> Result<api::run::RunSummary, ApiError> {
    let status = serde_json::from_value(run.status.as_str().into())
        .map_err(|cause| ApiError::Unreadable(format!("status of run {}: {cause}", run.header.run)))?;
    Ok(api::run::RunSummary {
        workflow_id: run.header.run,
        name: run.header.name,
        mode: run.header.mode,
        status,
        success_rate: run.outcome.as_ref().and_then(|outcome| outcome.success_rate),
        execution_time_ms: run.outcome.as_ref().map(|outcome| outcome.execution_time_ms),
        coverage: run.outcome.as_ref().and_then(|outcome| outcome.coverage),
        audit_index: run.audit_index,
        node: run.node,
        accepted: run.header.accepted,
        finished: run.outcome.map(|outcome| outcome.finished),
        labels: run.header.labels,
    })
}

pub async fn submit() -> Result<HttpResponse, ApiError> {
    Err(ApiError::Panicked)
}
pub async fn show() -> Result<HttpResponse, ApiError> {
    Err(ApiError::Panicked)
}
pub async fn schema() -> Result<HttpResponse, ApiError> {
    Err(ApiError::Panicked)
}
