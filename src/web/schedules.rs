//! `/schedules`: make, list, look at, pause, resume, run now and delete schedules.
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path, Payload};
use serde_json::Value;

use crate::api::problem::Fault as ShownFault;
use crate::api::schedule as shape;
use crate::clock;
use crate::messages::port::Port;
use crate::messages::schedule_store::ListFirings;
use crate::messages::scheduler::{
    CreateSchedule, DeleteSchedule, GetSchedule, ListSchedules, PauseSchedule, RunSchedule, View,
};
use crate::schedules::read::read;
use crate::schedules::record::{Firing, FiringState, Schedule};
use crate::schedules::rules::Timing;
use crate::toolkit::duration;
use crate::web::auth::Caller;
use crate::web::body::json_body;
use crate::web::error::ApiError;
use crate::web::route::{OPERATOR, Resource, VIEWER, at, delete as delete_at, get, post};
use crate::workflow::fault::Fault;
use crate::workflow::world::World;

const OK: StatusCode = StatusCode::OK;
const ACCEPTED: StatusCode = StatusCode::ACCEPTED;
/// How many of the times to come are shown.
const UPCOMING: usize = 3;
/// How many firings are shown with one schedule.
const FIRINGS: u32 = 50;

/// What these routes need.
#[derive(Clone)]
pub struct Schedules {
    pub create: Port<CreateSchedule>,
    pub list: Port<ListSchedules>,
    pub get: Port<GetSchedule>,
    pub pause: Port<PauseSchedule>,
    pub run: Port<RunSchedule>,
    pub delete: Port<DeleteSchedule>,
    pub firings: Port<ListFirings>,
    /// What workflows are checked against.
    pub world: Arc<World>,
}

/// Their part of the list of routes.
pub fn routes() -> Vec<Resource> {
    vec![
        at(
            "/api/v1/schedules",
            [
                get(VIEWER, "List the schedules").gives::<shape::Schedules>(OK).to(list),
                post(OPERATOR, "Have a workflow run again and again; it is stored when this is answered")
                    .takes::<shape::NewSchedule>()
                    .gives::<shape::Schedule>(ACCEPTED)
                    .to(create),
            ],
        ),
        at(
            "/api/v1/schedules/{id}",
            [
                get(VIEWER, "Show a schedule, by its name or its id, with its newest firings")
                    .gives::<shape::ShownSchedule>(OK)
                    .to(show),
                delete_at(OPERATOR, "Delete a schedule; its runs go on").gives::<shape::Deleted>(OK).to(delete),
            ],
        ),
        at(
            "/api/v1/schedules/{id}/pause",
            [post(OPERATOR, "Start nothing by a schedule until it is resumed")
                .gives::<shape::Schedule>(ACCEPTED)
                .to(pause)],
        ),
        at(
            "/api/v1/schedules/{id}/resume",
            [post(OPERATOR, "Let a paused schedule go on; what was due meanwhile is not made up for")
                .gives::<shape::Schedule>(ACCEPTED)
                .to(resume)],
        ),
        at(
            "/api/v1/schedules/{id}/run",
            [post(OPERATOR, "Have a schedule run now; its rule of overlap holds")
                .gives::<shape::Ordered>(ACCEPTED)
                .to(run)],
        ),
    ]
}

pub async fn create(deps: Data<Schedules>, caller: Caller, payload: Payload) -> Result<HttpResponse, ApiError> {
    let document: Value = json_body(payload).await?;
    let new = read(&document, &deps.world, clock::wall()).map_err(faults)?;
    let view = deps.create.ask(CreateSchedule { new, by: caller.to_string() }).await??;
    let place = (LOCATION, format!("/api/v1/schedules/{}", view.schedule.name));
    Ok(HttpResponse::Accepted().insert_header(place).json(shown(view)))
}

pub async fn list(deps: Data<Schedules>) -> Result<HttpResponse, ApiError> {
    let all = deps.list.ask(ListSchedules).await??;
    Ok(HttpResponse::Ok().json(shape::Schedules { schedules: all.into_iter().map(shown).collect(), next: None }))
}

pub async fn show(deps: Data<Schedules>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let view = deps.get.ask(GetSchedule(id.into_inner())).await??;
    let firings = deps.firings.ask(ListFirings { id: view.schedule.id, limit: FIRINGS }).await??;
    let firings = firings.into_iter().map(firing).collect();
    Ok(HttpResponse::Ok().json(shape::ShownSchedule { schedule: shown(view), firings }))
}

pub async fn pause(deps: Data<Schedules>, id: Path<String>, caller: Caller) -> Result<HttpResponse, ApiError> {
    set(&deps, id, true, caller).await
}

pub async fn resume(deps: Data<Schedules>, id: Path<String>, caller: Caller) -> Result<HttpResponse, ApiError> {
    set(&deps, id, false, caller).await
}

async fn set(deps: &Schedules, id: Path<String>, paused: bool, caller: Caller) -> Result<HttpResponse, ApiError> {
    let asked = PauseSchedule { which: id.into_inner(), paused, by: caller.to_string() };
    Ok(HttpResponse::Accepted().json(shown(deps.pause.ask(asked).await??)))
}

pub async fn run(deps: Data<Schedules>, id: Path<String>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let (view, ordered) = deps.run.ask(RunSchedule { which: id.into_inner(), by: caller.to_string() }).await??;
    let Schedule { id, name, .. } = view.schedule;
    if !matches!(ordered.state, FiringState::Started | FiringState::Due) {
        let why = ordered.detail.unwrap_or_default();
        return Err(ApiError::Conflict(format!("schedule {name} was not run: {why}")));
    }
    let answer = shape::Ordered { schedule_id: id, name: name.to_string(), firing: firing(ordered) };
    Ok(HttpResponse::Accepted().json(answer))
}

pub async fn delete(deps: Data<Schedules>, id: Path<String>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let view = deps.delete.ask(DeleteSchedule { which: id.into_inner(), by: caller.to_string() }).await??;
    let Schedule { id, name, .. } = view.schedule;
    Ok(HttpResponse::Ok().json(shape::Deleted { schedule_id: id, name: name.to_string(), deleted: true }))
}

fn faults(faults: Vec<Fault>) -> ApiError {
    let shown = |fault: Fault| ShownFault { pointer: fault.pointer, detail: fault.detail };
    ApiError::BadSchedule(faults.into_iter().map(shown).collect())
}

fn shown(View { schedule, waiting, open, last, trouble }: View) -> shape::Schedule {
    let rules = &schedule.rules;
    let (cron, every) = match &rules.timing {
        Timing::Cron { text, .. } => (Some(text.clone()), None),
        Timing::Every(every) => (None, Some(duration::show(*every))),
    };
    let upcoming = match schedule.paused {
        true => Vec::new(),
        false => rules.upcoming(clock::wall(), schedule.created, UPCOMING),
    };
    shape::Schedule {
        schedule_id: schedule.id,
        name: schedule.name.to_string(),
        cron,
        every,
        time_zone: rules.zone.name().to_owned(),
        catch_up: rules.catch_up.as_str().to_owned(),
        overlap: rules.overlap.as_str().to_owned(),
        paused: schedule.paused,
        created: schedule.created,
        created_by: schedule.created_by,
        upcoming: upcoming.iter().map(|time| time.to_rfc3339()).collect(),
        workflow: schedule.workflow,
        waiting,
        open,
        last: last.map(firing),
        trouble,
    }
}

fn firing(Firing { due, run, ordered_by, state, detail }: Firing) -> shape::Firing {
    shape::Firing { due, state: state.as_str().to_owned(), workflow_id: run, ordered_by, detail }
}

#[cfg(test)]
#[path = "schedules_tests.rs"]
mod tests;
