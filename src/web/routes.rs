//! Every address that the service answers: one ordered list.
use actix_web::HttpResponse;
use actix_web::Route;
use actix_web::guard;
use actix_web::middleware::from_fn;
use actix_web::web;
use actix_web::web::{Data, PathConfig, QueryConfig, ServiceConfig};

use crate::web::agents;
use crate::web::agents::Agents;
use crate::web::audit;
use crate::web::audit::Audit;
use crate::web::auth::Hosts;
use crate::web::auth::Tokens;
use crate::web::auth::require_token;
use crate::web::error::ApiError;
use crate::web::error::bad_part;
use crate::web::error::no_route;
use crate::web::health;
use crate::web::health::Health;
use crate::web::learner;
use crate::web::learner::Learner;
use crate::web::playbooks;
use crate::web::playbooks::Playbooks;
use crate::web::supervision;
use crate::web::supervision::Supervision;
use crate::web::tools;
use crate::web::tools::Tools;
use crate::web::workflows;
use crate::web::workflows::Workflows;

/// What the routes need, file by file. Only taken apart here: a handler sees its own part.
#[derive(Clone)]
pub struct Edges {
    pub tokens: Tokens,
    pub hosts: Hosts,
    pub workflows: Workflows,
    pub agents: Agents,
    pub learner: Learner,
    pub supervision: Supervision,
    pub tools: Tools,
    pub playbooks: Playbooks,
    pub audit: Audit,
    pub health: Health,
}

/// Who may ask.
#[derive(Debug, Clone, Copy)]
enum Access {
    Anyone,
    Token,
}
use Access::{Anyone, Token};

pub fn configure(config: &mut ServiceConfig, edges: Edges) {
    config
        .app_data(Data::new(edges.tokens))
        .app_data(Data::new(edges.hosts))
        .app_data(Data::new(edges.workflows))
        .app_data(Data::new(edges.agents))
        .app_data(Data::new(edges.learner))
        .app_data(Data::new(edges.supervision))
        .app_data(Data::new(edges.tools))
        .app_data(Data::new(edges.playbooks))
        .app_data(Data::new(edges.audit))
        .app_data(Data::new(edges.health))
        .app_data(QueryConfig::default().error_handler(bad_part))
        .app_data(PathConfig::default().error_handler(bad_part));

    at(config, Anyone, "/", vec![get().to(health::home)]);
    at(config, Anyone, "/livez", vec![get().to(health::live)]);
    at(config, Anyone, "/readyz", vec![get().to(health::ready)]);

    at(config, Token, "/api/v1/workflows", vec![get().to(workflows::list), post().to(workflows::submit)]);
    at(config, Token, "/api/v1/workflows/{id}", vec![get().to(workflows::show)]);
    at(config, Token, "/api/v1/workflows/{id}/cancel", vec![post().to(workflows::cancel)]);
    at(config, Token, "/api/v1/schemas/workflow.json", vec![get().to(workflows::schema)]);

    at(config, Token, "/api/v1/agents", vec![get().to(agents::list)]);
    at(config, Token, "/api/v1/agents/predict", vec![post().to(learner::predict)]);
    at(config, Token, "/api/v1/agents/{id}", vec![get().to(agents::show)]);
    at(config, Token, "/api/v1/agents/{id}/restart", vec![post().to(agents::restart)]);
    at(config, Token, "/api/v1/agents/{id}/drill", vec![post().to(agents::drill)]);

    at(config, Token, "/api/v1/learner", vec![get().to(learner::status)]);
    at(config, Token, "/api/v1/learner/drill", vec![post().to(learner::drill)]);

    at(config, Token, "/api/v1/supervision", vec![get().to(supervision::show)]);
    at(config, Token, "/api/v1/tools", vec![get().to(tools::list)]);
    at(config, Token, "/api/v1/tools/{id}", vec![get().to(tools::show)]);
    at(config, Token, "/api/v1/playbooks", vec![get().to(playbooks::list)]);
    at(config, Token, "/api/v1/playbooks/{name}", vec![get().to(playbooks::show)]);

    at(config, Anyone, "/api/v1/audit/checkpoint", vec![get().to(audit::checkpoint)]);
    at(config, Anyone, "/api/v1/audit/tile/{path:.*}", vec![get().to(audit::tile)]);
    at(config, Anyone, "/api/v1/audit/vkey", vec![get().to(audit::vkey)]);
    at(config, Token, "/api/v1/audit/head", vec![get().to(audit::head)]);
    at(config, Token, "/api/v1/audit/entries", vec![get().to(audit::entries)]);
    at(config, Token, "/api/v1/audit/proof/{index}", vec![get().to(audit::proof)]);

    config.default_service(web::to(no_route));
}

/// A route that `at` tells apart by its method.
struct Method {
    names: &'static str,
    route: Route,
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
fn get() -> Method {
    Method { names: "GET, HEAD", route: web::route().guard(guard::Any(guard::Get()).or(guard::Head())) }
}

fn post() -> Method {
    Method { names: "POST", route: web::post() }
}

fn at(config: &mut ServiceConfig, access: Access, path: &str, methods: Vec<Method>) {
    let allow = methods.iter().map(|method| method.names).collect::<Vec<_>>().join(", ");
    let wrong_method = move || {
        let allow = allow.clone();
        async move { Err::<HttpResponse, _>(ApiError::WrongMethod { allow }) }
    };
    let resource = methods.into_iter().fold(web::resource(path), |resource, method| resource.route(method.route));
    let resource = resource.default_service(web::to(wrong_method));
    match access {
        Anyone => config.service(resource),
        Token => config.service(resource.wrap(from_fn(require_token))),
    };
}

#[cfg(test)]
mod tests {
    use crate::messages::port::Port;
    use crate::web::asked::{anonymous, ask, request};
    use crate::web::fakes::edges;

    #[actix_web::test]
    async fn every_route_but_the_public_ones_needs_the_token() {
        for line in [
            "GET /api/v1/workflows",
            "POST /api/v1/workflows",
            "GET /api/v1/workflows/01900000-0000-7000-8000-000000000001",
            "POST /api/v1/workflows/01900000-0000-7000-8000-000000000001/cancel",
            "GET /api/v1/schemas/workflow.json",
            "GET /api/v1/agents",
            "GET /api/v1/agents/PACER",
            "POST /api/v1/agents/PACER/restart",
            "POST /api/v1/agents/PACER/drill",
            "POST /api/v1/agents/predict",
            "GET /api/v1/learner",
            "POST /api/v1/learner/drill",
            "GET /api/v1/supervision",
            "GET /api/v1/tools",
            "GET /api/v1/tools/load.read",
            "GET /api/v1/playbooks",
            "GET /api/v1/playbooks/host-baseline",
            "GET /api/v1/audit/head",
            "GET /api/v1/audit/entries",
            "GET /api/v1/audit/proof/0",
        ] {
            let wrong = anonymous(line).insert_header(("Authorization", "Bearer wrong"));
            for asked in [anonymous(line), wrong] {
                let answer = ask(edges(), asked).await;
                assert_eq!(answer.status, 401, "{line}");
                assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"dsmil\"");
                assert_eq!(answer.json()["status"], 401);
            }
        }
        for line in ["GET /", "GET /livez", "HEAD /livez", "GET /readyz", "GET /api/v1/audit/checkpoint"] {
            assert_eq!(ask(edges(), anonymous(line)).await.status, 200, "{line}");
        }
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
