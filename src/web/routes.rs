//! Every address that the service answers: one ordered list.
use std::rc::Rc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web;
use actix_web::web::{Data, PathConfig, QueryConfig, ServiceConfig};

use serde_json::Value;

use crate::api;
use crate::api::accepted::{Accepted, Cancelled, Restarting};
use crate::api::access::{CreatedToken, Identity, NewToken, Revoked, SignIn, Ticket};
use crate::api::audit::{Entries, Head};
use crate::api::health::Readiness;
use crate::api::learner::{LearnerStatus, Prediction, Question};
use crate::web::agents;
use crate::web::agents::Agents;
use crate::web::alerts;
use crate::web::alerts::Alerts;
use crate::web::audit;
use crate::web::audit::Audit;
use crate::web::auth::Admission;
use crate::web::auth::require;
use crate::web::compute;
use crate::web::compute::Compute;
use crate::web::error::ApiError;
use crate::web::error::bad_part;
use crate::web::error::no_route;
use crate::web::health;
use crate::web::health::Health;
use crate::web::hosts::Hosts;
use crate::web::idempotency;
use crate::web::learner;
use crate::web::learner::Learner;
use crate::web::openapi;
use crate::web::pages;
use crate::web::playbooks;
use crate::web::playbooks::Playbooks;
use crate::web::route::Access;
use crate::web::route::{ADMIN, OPERATOR, VIEWER};
use crate::web::route::{Method, Resource, at, delete, get, post};
use crate::web::run_list;
use crate::web::schedules;
use crate::web::schedules::Schedules;
use crate::web::sessions;
use crate::web::sessions::Sessions;
use crate::web::steering;
use crate::web::stream;
use crate::web::stream::Stream;
use crate::web::supervision;
use crate::web::supervision::Supervision;
use crate::web::tokens;
use crate::web::tokens::Tokens;
use crate::web::tools;
use crate::web::tools::Tools;
use crate::web::workflows;
use crate::web::workflows::Workflows;

use Access::Anyone;

const OK: StatusCode = StatusCode::OK;
const CREATED: StatusCode = StatusCode::CREATED;
const ACCEPTED: StatusCode = StatusCode::ACCEPTED;
const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;
const KEY: &str = "Sent again with the same key and body, a submission is answered with the run of the first one (and \
    `Idempotent-Replayed: true`), as long as keys are kept; with another body by 422, and while the first one is being \
    stored by 409. 1 to 255 visible ASCII characters";
const TEXT: &str = "text/plain";

/// What the routes need, file by file. Only taken apart here: a handler sees its own part.
#[derive(Clone)]
pub struct Edges {
    pub admission: Admission,
    pub hosts: Hosts,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub alerts: Alerts,
    pub stream: Stream,
    pub workflows: Workflows,
    pub schedules: Schedules,
    pub agents: Agents,
    pub learner: Learner,
    pub compute: Compute,
    pub supervision: Supervision,
    pub tools: Tools,
    pub playbooks: Playbooks,
    pub audit: Audit,
    pub health: Health,
}

/// Every address in one list.
pub fn table() -> Vec<Resource> {
    let mut all = vec![
        at("/", [get(Anyone, "The dashboard").to(pages::page)]),
        at("/{page:agents|workflows|alerts|audit}", [get(Anyone, "A page of the dashboard").to(pages::page)]),
        at("/{page:agents|workflows}/{id}", [get(Anyone, "A page of the dashboard").to(pages::page)]),
        at("/docs", [get(Anyone, "The API reference").to(pages::reference)]),
        at("/assets/{path:.*}", [get(Anyone, "A file of the dashboard").to(pages::asset)]),
        at("/livez", [get(Anyone, "Does the event loop turn?").gives_other(TEXT).to(health::live)]),
        at("/readyz", [get(Anyone, "Are all parts there?").gives::<Readiness>(OK).to(health::ready)]),
        at("/metrics", [get(VIEWER, "Readings for Prometheus").gives_other(TEXT).to(alerts::metrics)]),
        at("/api/openapi.json", [get(VIEWER, "This description").gives::<Value>(OK).to(openapi::show)]),
        at(
            "/api/v1/workflows",
            [
                get(VIEWER, "List runs, newest first")
                    .query::<run_list::Filter>()
                    .gives::<api::run::Runs>(OK)
                    .to(run_list::list),
                post(OPERATOR, "Submit a workflow; it is durable when this is answered")
                    .query::<workflows::How>()
                    .header(idempotency::HEADER, KEY)
                    .takes_workflow()
                    .gives::<Accepted>(ACCEPTED)
                    .or_gives::<api::run::Run>()
                    .or_gives::<api::accepted::Checked>()
                    .to(workflows::submit),
            ],
        ),
        at(
            "/api/v1/workflows/{id}",
            [get(VIEWER, "Show a run with its steps")
                .query::<workflows::Patience>()
                .gives::<api::run::Run>(OK)
                .to(workflows::show)],
        ),
        at(
            "/api/v1/workflows/{id}/cancel",
            [post(OPERATOR, "End a run before its time")
                .query::<steering::HowToCancel>()
                .gives::<Cancelled>(ACCEPTED)
                .to(steering::cancel)],
        ),
        at(
            "/api/v1/workflows/{id}/pause",
            [post(OPERATOR, "Begin nothing more of a run until it is resumed")
                .gives::<Accepted>(ACCEPTED)
                .to(steering::pause)],
        ),
        at(
            "/api/v1/workflows/{id}/resume",
            [post(OPERATOR, "Let a paused run go on").gives::<Accepted>(ACCEPTED).to(steering::resume)],
        ),
        at(
            "/api/v1/workflows/{id}/undo",
            [post(OPERATOR, "Undo what a run changed, the last first; a run that has not ended is ended first")
                .gives::<Accepted>(ACCEPTED)
                .to(steering::undo)],
        ),
        at(
            "/api/v1/workflows/{id}/retry",
            [post(OPERATOR, "Do again what did not succeed in a run that has ended")
                .gives::<Accepted>(ACCEPTED)
                .to(steering::retry)],
        ),
        at(
            "/api/v1/workflows/{id}/fork",
            [post(OPERATOR, "Start a run like this one, with what succeeded before a step carried over")
                .takes::<steering::Fork>()
                .gives::<Accepted>(ACCEPTED)
                .to(steering::fork)],
        ),
        at(
            "/api/v1/workflows/{id}/signals/{name}",
            [post(OPERATOR, "Give a signal to a step that waits for it; the body is the step's data")
                .takes::<serde_json::Value>()
                .gives::<Accepted>(ACCEPTED)
                .to(steering::signal)],
        ),
        at(
            "/api/v1/workflows/{id}/steps/{step}/approve",
            [post(OPERATOR, "Decide about a step that waits for approval")
                .takes::<steering::Verdict>()
                .gives::<Accepted>(ACCEPTED)
                .to(steering::approve)],
        ),
        at(
            "/api/v1/schemas/workflow.json",
            [get(VIEWER, "JSON Schema of a workflow").gives_other("application/schema+json").to(workflows::schema)],
        ),
        at(
            "/api/v1/agents",
            [get(VIEWER, "List the agents and how they are doing").gives::<api::agent::Agents>(OK).to(agents::list)],
        ),
        at(
            "/api/v1/agents/predict",
            [post(VIEWER, "Rank the agents for a task")
                .takes::<Question>()
                .gives::<Prediction>(OK)
                .to(learner::predict)],
        ),
        at("/api/v1/agents/{id}", [get(VIEWER, "Show one agent").gives::<api::agent::Agent>(OK).to(agents::show)]),
        at(
            "/api/v1/agents/{id}/restart",
            [post(OPERATOR, "End an agent and start it anew").gives::<Restarting>(ACCEPTED).to(agents::restart)],
        ),
        at(
            "/api/v1/agents/{id}/drill",
            [post(ADMIN, "Have an agent fail on purpose")
                .takes::<api::supervision::Drill>()
                .gives::<api::agent::Drilled>(ACCEPTED)
                .to(agents::drill)],
        ),
        at(
            "/api/v1/learner",
            [get(VIEWER, "What was learned, and what waits to be stored")
                .gives::<LearnerStatus>(OK)
                .to(learner::status)],
        ),
        at(
            "/api/v1/learner/drill",
            [post(ADMIN, "Have the learner fail on purpose")
                .takes::<api::supervision::Drill>()
                .gives_nothing(ACCEPTED)
                .to(learner::drill)],
        ),
        at(
            "/api/v1/alerts",
            [get(VIEWER, "What is pending, firing, or was resolved of late")
                .query::<alerts::Filter>()
                .gives::<api::alert::Alerts>(OK)
                .to(alerts::list)],
        ),
        at(
            "/api/v1/alerts/test",
            [post(OPERATOR, "Raise or end the exercise alert")
                .takes::<api::alert::Exercise>()
                .gives::<api::alert::Alerts>(OK)
                .to(alerts::exercise)],
        ),
        at(
            "/api/v1/alerts/{id}/ack",
            [post(OPERATOR, "Acknowledge a firing alert")
                .takes::<api::alert::NewAck>()
                .gives::<api::alert::Alert>(OK)
                .to(alerts::ack)],
        ),
        at("/api/v1/host", [get(VIEWER, "Readings of five minutes").gives::<api::alert::Host>(OK).to(alerts::host)]),
        at(
            "/api/v1/stream",
            [get(Anyone, "The live feed, a WebSocket that asks for its right itself")
                .query::<stream::How>()
                .gives_nothing(StatusCode::SWITCHING_PROTOCOLS)
                .to(stream::open)],
        ),
        at(
            "/api/v1/compute",
            [get(VIEWER, "The worker pool, and what the processor can do")
                .gives::<api::compute::Pool>(OK)
                .to(compute::show)],
        ),
        at(
            "/api/v1/supervision",
            [get(VIEWER, "The supervision tree").gives::<api::supervision::Node>(OK).to(supervision::show)],
        ),
        at(
            "/api/v1/supervision/{name}/drill",
            [post(ADMIN, "Have a child fail on purpose")
                .takes::<api::supervision::Drill>()
                .gives::<api::supervision::Drilled>(ACCEPTED)
                .to(supervision::drill)],
        ),
        at("/api/v1/tools", [get(VIEWER, "List the tools").gives::<api::tool::Tools>(OK).to(tools::list)]),
        at(
            "/api/v1/tools/{id}",
            [get(VIEWER, "Show one tool with its schemas").gives::<api::tool::Tool>(OK).to(tools::show)],
        ),
        at(
            "/api/v1/playbooks",
            [get(VIEWER, "List the playbooks").gives::<api::playbook::Playbooks>(OK).to(playbooks::list)],
        ),
        at(
            "/api/v1/playbooks/{name}",
            [get(VIEWER, "Show one playbook").gives::<api::playbook::Playbook>(OK).to(playbooks::show)],
        ),
        at(
            "/api/v1/audit/checkpoint",
            [get(Anyone, "The signed head of the log").gives_other(TEXT).to(audit::checkpoint)],
        ),
        at(
            "/api/v1/audit/tile/{path:.*}",
            [get(Anyone, "A tile of the log").gives_other("application/octet-stream").to(audit::tile)],
        ),
        at("/api/v1/audit/vkey", [get(Anyone, "The verifier key of the log").gives_other(TEXT).to(audit::vkey)]),
        at("/api/v1/audit/head", [get(VIEWER, "Size and root of the log").gives::<Head>(OK).to(audit::head)]),
        at(
            "/api/v1/audit/entries",
            [get(VIEWER, "Entries of the log").query::<audit::Stretch>().gives::<Entries>(OK).to(audit::entries)],
        ),
        at(
            "/api/v1/audit/proof/{index}",
            [get(VIEWER, "Proof that an entry is in the log").gives_other(TEXT).to(audit::proof)],
        ),
        at(
            "/api/v1/tokens",
            [
                get(ADMIN, "List the tokens").gives::<api::access::Tokens>(OK).to(tokens::list),
                post(ADMIN, "Make a token, which is shown once")
                    .takes::<NewToken>()
                    .gives::<CreatedToken>(CREATED)
                    .to(tokens::create),
            ],
        ),
        at("/api/v1/tokens/{id}", [delete(ADMIN, "Revoke a token").gives::<Revoked>(OK).to(tokens::revoke)]),
        at(
            "/api/v1/sessions",
            [
                post(Anyone, "Sign a browser in with a token")
                    .takes::<SignIn>()
                    .gives_nothing(NO_CONTENT)
                    .to(sessions::open),
                delete(Anyone, "Sign a browser out").gives_nothing(NO_CONTENT).to(sessions::close),
            ],
        ),
        at("/api/v1/sessions/current", [get(VIEWER, "Who is asking?").gives::<Identity>(OK).to(sessions::current)]),
        at(
            "/api/v1/stream-tickets",
            [post(VIEWER, "A ticket for one connection to the feed").gives::<Ticket>(CREATED).to(sessions::ticket)],
        ),
    ];
    all.extend(schedules::routes());
    all
}

pub fn configure(config: &mut ServiceConfig, edges: Edges) {
    config
        .app_data(Data::new(edges.admission))
        .app_data(Data::new(edges.hosts))
        .app_data(Data::new(edges.tokens))
        .app_data(Data::new(edges.sessions))
        .app_data(Data::new(edges.alerts))
        .app_data(Data::new(edges.stream))
        .app_data(Data::new(edges.workflows))
        .app_data(Data::new(edges.schedules))
        .app_data(Data::new(edges.agents))
        .app_data(Data::new(edges.learner))
        .app_data(Data::new(edges.compute))
        .app_data(Data::new(edges.supervision))
        .app_data(Data::new(edges.tools))
        .app_data(Data::new(edges.playbooks))
        .app_data(Data::new(edges.audit))
        .app_data(Data::new(edges.health))
        .app_data(QueryConfig::default().error_handler(bad_part))
        .app_data(PathConfig::default().error_handler(bad_part));
    for Resource { path, methods } in table() {
        config.service(resource(path, methods));
    }
    config.default_service(web::to(no_route));
}

fn resource(path: &str, methods: Vec<Method>) -> actix_web::Resource {
    let names: Vec<&str> = methods.iter().flat_map(|method| method.names).copied().collect();
    let allow = names.join(", ");
    let wrong_method = move || {
        let allow = allow.clone();
        async move { Err::<HttpResponse, _>(ApiError::WrongMethod { allow }) }
    };
    let resource = methods.into_iter().fold(web::resource(path), |resource, method| {
        resource.route(match method.access {
            Anyone => method.route,
            Access::Needs(role) => {
                method.route.wrap(from_fn(move |request, next| require(role, request, Rc::new(next))))
            }
        })
    });
    resource.default_service(web::to(wrong_method))
}

#[cfg(test)]
mod tests;
