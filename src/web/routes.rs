//! Every address that the service answers: one ordered list.
use std::rc::Rc;

use actix_web::HttpResponse;
use actix_web::Route;
use actix_web::guard;
use actix_web::middleware::from_fn;
use actix_web::web;
use actix_web::web::{Data, PathConfig, QueryConfig, ServiceConfig};

use crate::access::role::Role;
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
use crate::web::learner;
use crate::web::learner::Learner;
use crate::web::pages;
use crate::web::playbooks;
use crate::web::playbooks::Playbooks;
use crate::web::sessions;
use crate::web::sessions::Sessions;
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
    pub agents: Agents,
    pub learner: Learner,
    pub compute: Compute,
    pub supervision: Supervision,
    pub tools: Tools,
    pub playbooks: Playbooks,
    pub audit: Audit,
    pub health: Health,
}

/// What the caller of a method must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Anyone,
    Needs(Role),
}
use Access::Anyone;
const VIEWER: Access = Access::Needs(Role::Viewer);
const OPERATOR: Access = Access::Needs(Role::Operator);
const ADMIN: Access = Access::Needs(Role::Admin);

/// One address with what it answers to.
pub struct Resource {
    pub path: &'static str,
    pub methods: Vec<Method>,
}

/// One method of an address: who may use it, what it does, and who answers.
pub struct Method {
    /// The names that this method answers to, the first one its own.
    pub names: &'static [&'static str],
    pub access: Access,
    /// One line for the API reference.
    pub summary: &'static str,
    route: Route,
}

/// Every address in one list.
pub fn table() -> Vec<Resource> {
    vec![
        at("/", [get(Anyone, "The dashboard").to(pages::page)]),
        at("/{page:agents|workflows|alerts|audit}", [get(Anyone, "A page of the dashboard").to(pages::page)]),
        at("/{page:agents|workflows}/{id}", [get(Anyone, "A page of the dashboard").to(pages::page)]),
        at("/assets/{path:.*}", [get(Anyone, "A file of the dashboard").to(pages::asset)]),
        at("/livez", [get(Anyone, "Does the event loop turn?").to(health::live)]),
        at("/readyz", [get(Anyone, "Are all parts there?").to(health::ready)]),
        at(
            "/api/v1/workflows",
            [
                get(VIEWER, "List runs, newest first").to(workflows::list),
                post(OPERATOR, "Submit a workflow").to(workflows::submit),
            ],
        ),
        at("/api/v1/workflows/{id}", [get(VIEWER, "Show a run with its steps").to(workflows::show)]),
        at("/api/v1/workflows/{id}/cancel", [post(OPERATOR, "End a run before its time").to(workflows::cancel)]),
        at(
            "/api/v1/workflows/{id}/pause",
            [post(OPERATOR, "Begin nothing more of a run until it is resumed").to(workflows::pause)],
        ),
        at("/api/v1/workflows/{id}/resume", [post(OPERATOR, "Let a paused run go on").to(workflows::resume)]),
        at("/api/v1/schemas/workflow.json", [get(VIEWER, "JSON Schema of a workflow").to(workflows::schema)]),
        at("/api/v1/agents", [get(VIEWER, "List the agents and how they are doing").to(agents::list)]),
        at("/api/v1/agents/predict", [post(VIEWER, "Rank the agents for a task").to(learner::predict)]),
        at("/api/v1/agents/{id}", [get(VIEWER, "Show one agent").to(agents::show)]),
        at("/api/v1/agents/{id}/restart", [post(OPERATOR, "End an agent and start it anew").to(agents::restart)]),
        at("/api/v1/agents/{id}/drill", [post(ADMIN, "Have an agent fail on purpose").to(agents::drill)]),
        at("/api/v1/learner", [get(VIEWER, "What was learned, and what waits to be stored").to(learner::status)]),
        at("/api/v1/learner/drill", [post(ADMIN, "Have the learner fail on purpose").to(learner::drill)]),
        at("/api/v1/alerts", [get(VIEWER, "What is pending, firing, or was resolved of late").to(alerts::list)]),
        at("/api/v1/alerts/test", [post(OPERATOR, "Raise or end the exercise alert").to(alerts::exercise)]),
        at("/api/v1/alerts/{id}/ack", [post(OPERATOR, "Acknowledge a firing alert").to(alerts::ack)]),
        at("/api/v1/host", [get(VIEWER, "Readings of the last five minutes").to(alerts::host)]),
        at("/metrics", [get(VIEWER, "Readings for Prometheus").to(alerts::metrics)]),
        at(
            "/api/v1/stream",
            [get(Anyone, "The live feed, a WebSocket that asks for its right itself").to(stream::open)],
        ),
        at("/api/v1/compute", [get(VIEWER, "The worker pool, and what the processor can do").to(compute::show)]),
        at("/api/v1/supervision", [get(VIEWER, "The supervision tree").to(supervision::show)]),
        at("/api/v1/supervision/{name}/drill", [post(ADMIN, "Have a child panic on purpose").to(supervision::drill)]),
        at("/api/v1/tools", [get(VIEWER, "List the tools").to(tools::list)]),
        at("/api/v1/tools/{id}", [get(VIEWER, "Show one tool with its schemas").to(tools::show)]),
        at("/api/v1/playbooks", [get(VIEWER, "List the playbooks").to(playbooks::list)]),
        at("/api/v1/playbooks/{name}", [get(VIEWER, "Show one playbook").to(playbooks::show)]),
        at("/api/v1/audit/checkpoint", [get(Anyone, "The signed head of the log").to(audit::checkpoint)]),
        at("/api/v1/audit/tile/{path:.*}", [get(Anyone, "A tile of the log").to(audit::tile)]),
        at("/api/v1/audit/vkey", [get(Anyone, "The verifier key of the log").to(audit::vkey)]),
        at("/api/v1/audit/head", [get(VIEWER, "Size and root of the log").to(audit::head)]),
        at("/api/v1/audit/entries", [get(VIEWER, "Entries of the log").to(audit::entries)]),
        at("/api/v1/audit/proof/{index}", [get(VIEWER, "Proof that an entry is in the log").to(audit::proof)]),
        at(
            "/api/v1/tokens",
            [
                get(ADMIN, "List the tokens").to(tokens::list),
                post(ADMIN, "Make a token, which is shown once").to(tokens::create),
            ],
        ),
        at("/api/v1/tokens/{id}", [delete(ADMIN, "Revoke a token").to(tokens::revoke)]),
        at(
            "/api/v1/sessions",
            [
                post(Anyone, "Sign a browser in with a token").to(sessions::open),
                delete(Anyone, "Sign a browser out").to(sessions::close),
            ],
        ),
        at("/api/v1/sessions/current", [get(VIEWER, "Who is asking?").to(sessions::current)]),
        at("/api/v1/stream-tickets", [post(VIEWER, "A ticket for one connection to the feed").to(sessions::ticket)]),
    ]
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

fn at<const N: usize>(path: &'static str, methods: [Method; N]) -> Resource {
    Resource { path, methods: methods.into() }
}

impl Method {
    fn to<F, Args>(self, handler: F) -> Method
    where
        F: actix_web::Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: actix_web::Responder + 'static,
    {
        Method { route: self.route.to(handler), ..self }
    }
}

/// `HEAD` is `GET` without its body.
fn get(access: Access, summary: &'static str) -> Method {
    let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    Method { names: &["GET", "HEAD"], access, summary, route }
}

fn post(access: Access, summary: &'static str) -> Method {
    Method { names: &["POST"], access, summary, route: web::post() }
}

fn delete(access: Access, summary: &'static str) -> Method {
    Method { names: &["DELETE"], access, summary, route: web::delete() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::port::Port;
    use crate::web::asked::{anonymous, ask, request};
    use crate::web::auth::COOKIE;
    use crate::web::fakes::access::{EXPIRED, REVOKED, SESSION_KEY, bearer_of};
    use crate::web::fakes::edges;

    /// An address of this form: parameters get a value that is well formed and names nothing.
    fn filled(path: &str) -> String {
        path.replace("{path:.*}", "0/000").replace("{index}", "0").replace("{name}", "none").replace("{id}", "none")
    }

    /// Every method of every address, by everyone: a route that is added is tested with the rest.
    #[actix_web::test]
    async fn every_method_admits_its_role_and_those_above_and_nobody_else() {
        for Resource { path, methods } in table() {
            for method in methods {
                let line = format!("{} {}", method.names[0], filled(path));
                let Access::Needs(needed) = method.access else { continue };
                for token in [None, Some("wrong"), Some(EXPIRED), Some(REVOKED)] {
                    let asked = anonymous(&line);
                    let asked = match token {
                        Some(token) => asked.insert_header(("Authorization", format!("Bearer {token}"))),
                        None => asked,
                    };
                    let answer = ask(edges(), asked).await;
                    assert_eq!(answer.status, 401, "{line} with {token:?}");
                    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"dsmil\"");
                    assert_eq!(answer.json()["status"], 401);
                }
                for role in Role::ALL {
                    let status = ask(edges(), anonymous(&line).insert_header(bearer_of(role))).await.status;
                    let refused = status == 403 || status == 401;
                    assert_eq!(refused, !role.may(needed), "{line} as {role}: {status}");
                    if refused {
                        assert_eq!(status, 403, "{line} as {role}");
                    }
                }
            }
        }
    }

    #[actix_web::test]
    async fn the_public_addresses_are_these() {
        let open: Vec<String> = table()
            .into_iter()
            .flat_map(|Resource { path, methods }| {
                let open = methods.into_iter().filter(|method| method.access == Access::Anyone);
                open.map(move |method| format!("{} {path}", method.names[0]))
            })
            .collect();
        let known = [
            "GET /",
            "GET /{page:agents|workflows|alerts|audit}",
            "GET /{page:agents|workflows}/{id}",
            "GET /assets/{path:.*}",
            "GET /livez",
            "GET /readyz",
            "GET /api/v1/stream",
            "GET /api/v1/audit/checkpoint",
            "GET /api/v1/audit/tile/{path:.*}",
            "GET /api/v1/audit/vkey",
            "POST /api/v1/sessions",
            "DELETE /api/v1/sessions",
        ];
        assert_eq!(open, known);
        for line in ["GET /", "GET /livez", "HEAD /livez", "GET /readyz", "GET /api/v1/audit/checkpoint"] {
            assert_eq!(ask(edges(), anonymous(line)).await.status, 200, "{line}");
        }
    }

    #[actix_web::test]
    async fn a_session_changes_things_only_from_our_own_page() {
        let cookie = ("Cookie", format!("{COOKIE}={SESSION_KEY}"));
        let check = async |line: &str, origin: Option<&str>, status: u16| {
            let asked = anonymous(line).insert_header(cookie.clone());
            let asked = match origin {
                Some(origin) => asked.insert_header(("Origin", origin)),
                None => asked,
            };
            assert_eq!(ask(edges(), asked).await.status, status, "{line} from {origin:?}");
        };
        check("GET /api/v1/agents", None, 200).await;
        check("POST /api/v1/workflows", None, 403).await;
        check("POST /api/v1/workflows", Some("http://evil.example"), 403).await;
        check("POST /api/v1/workflows", Some("http://localhost:8787"), 400).await;
    }

    #[actix_web::test]
    async fn what_has_no_route_is_a_problem_too() {
        let missing = ask(edges(), request("GET /api/v1/nothing")).await;
        assert_eq!((missing.status, missing.header("content-type")), (404, "application/problem+json"));
        let wrong = ask(edges(), request("DELETE /api/v1/workflows")).await;
        assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, HEAD, POST"));
        assert_eq!(wrong.json()["status"], 405);
        let query = ask(edges(), request("GET /api/v1/workflows?sort=up")).await;
        assert_eq!((query.status, query.header("content-type")), (400, "application/problem+json"));
        let path = ask(edges(), request("GET /api/v1/audit/proof/first")).await;
        assert_eq!((path.status, path.header("content-type")), (400, "application/problem+json"));
    }

    #[actix_web::test]
    async fn a_foreign_host_name_is_not_answered() {
        for host in ["evil.example:8787", ""] {
            let asked = request("GET /livez").insert_header(("Host", host));
            assert_eq!(ask(edges(), asked).await.status, 421, "{host:?}");
        }
    }

    #[actix_web::test]
    async fn a_panic_in_a_handler_is_an_answer() {
        let mut edges = edges();
        edges.supervision.tree = Port::answering(|_| panic!("a fault of this test"));
        let answer = ask(edges, request("GET /api/v1/supervision")).await;
        assert_eq!((answer.status, answer.header("content-type")), (500, "application/problem+json"));
    }

    #[actix_web::test]
    async fn a_part_that_is_shut_is_refused_at_once_with_a_time() {
        let answer = ask(edges(), request("GET /api/v1/workflows")).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"));
        assert_eq!(answer.json()["retry_after_s"], 2);
    }
}
