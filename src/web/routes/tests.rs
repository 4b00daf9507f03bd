//! What the list of routes promises: who is admitted, what is public, how refusals look.
use super::*;
use crate::access::role::Role;
use crate::messages::port::Port;
use crate::web::asked::{anonymous, ask, request};
use crate::web::auth::COOKIE;
use crate::web::fakes::access::{EXPIRED, REVOKED, SESSION_KEY, bearer_of};
use crate::web::fakes::edges;

/// An address of this form: parameters get a value that is well formed and names nothing.
fn filled(path: &str) -> String {
    path.replace("{path:.*}", "0/000")
        .replace("{index}", "0")
        .replace("{name}", "none")
        .replace("{id}", "none")
        .replace("{step}", "none")
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
        "GET /docs",
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
    // The proxy in front, of which the configuration tells.
    check("POST /api/v1/workflows", Some("https://dsmil.example"), 400).await;
    check("POST /api/v1/workflows", Some("https://dsmil.example.evil"), 403).await;
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
