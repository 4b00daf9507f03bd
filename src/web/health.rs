//! `/livez` and `/readyz` for those who watch the service.
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Data;
use futures_util::future::join3;

use crate::api::health::Part;
use crate::api::health::Readiness;
use crate::messages::auditor::GetHead;
use crate::messages::orchestrator::GetEngineStatus;
use crate::messages::port::Port;
use crate::messages::store::GetStoreStatus;

/// What these routes need.
#[derive(Clone)]
pub struct Health {
    pub store: Port<GetStoreStatus>,
    pub head: Port<GetHead>,
    pub engine: Port<GetEngineStatus>,
}

/// A part that takes longer than this is not ready.
const WITHIN: Duration = Duration::from_secs(2);

/// The event loop turns; nothing else is asked.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n")
}

pub async fn ready(deps: Data<Health>) -> HttpResponse {
    let (store, head, engine) = join3(
        deps.store.ask_within(GetStoreStatus, WITHIN),
        deps.head.ask_within(GetHead, WITHIN),
        deps.engine.ask_within(GetEngineStatus, WITHIN),
    )
    .await;
    let part = |name: &str, ok: bool| Part { name: name.to_owned(), ok };
    let parts = vec![
        part("database", matches!(store, Ok(Ok(_)))),
        part("tpm", matches!(head, Ok(Ok(_)))),
        part("engine", engine.is_ok_and(|status| status.recovered)),
    ];
    let ready = parts.iter().all(|part| part.ok);
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(Readiness { ready, parts })
}

#[cfg(test)]
mod tests {
    use crate::web::asked::{anonymous, ask};
    use crate::web::fakes::edges;
    use crate::web::fakes::shut;

    #[actix_web::test]
    async fn it_is_ready_when_all_parts_are() {
        let answer = ask(edges(), anonymous("GET /readyz")).await;
        assert_eq!((answer.status, answer.json()["ready"].as_bool()), (200, Some(true)));
    }

    #[actix_web::test]
    async fn a_part_that_does_not_answer_is_named() {
        let mut edges = edges();
        edges.health.store = shut();
        let answer = ask(edges, anonymous("GET /readyz")).await;
        assert_eq!(answer.status, 503);
        let parts = answer.json()["parts"].clone();
        assert_eq!(parts[0], serde_json::json!({ "name": "database", "ok": false }));
        assert_eq!(parts[1], serde_json::json!({ "name": "tpm", "ok": true }));
    }
}
