//! `/agents/predict` and `/learner`: who should do a task, and how far the learner is.
use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};

use crate::api;
use crate::api::learner::Question;
use crate::learning::rank::Ranking;
use crate::messages::learner::GetHandOver;
use crate::messages::learner::GetLearnerStatus;
use crate::messages::learner::Predict;
use crate::messages::port::Port;
use crate::messages::supervision::Intervene;
use crate::web::auth::Caller;
use crate::web::body::json_body;
use crate::web::error::ApiError;
use crate::web::supervision::inject;

/// What these routes need.
#[derive(Clone)]
pub struct Learner {
    pub predict: Port<Predict>,
    pub status: Port<GetLearnerStatus>,
    pub hand_over: Port<GetHandOver>,
    /// None: the configuration allows no drills.
    pub drill: Option<Port<Intervene>>,
}

/// In bytes, as of a step's task.
const LONGEST_TASK: usize = 4_000;
const LONGEST_CONTEXT: usize = 16_000;

pub async fn predict(deps: Data<Learner>, payload: Payload) -> Result<HttpResponse, ApiError> {
    let Question { task, context } = json_body(payload).await?;
    let task = task.trim().to_owned();
    if task.is_empty() || task.len() > LONGEST_TASK {
        return Err(ApiError::BadRequest(format!("`task` must have 1 to {LONGEST_TASK} bytes")));
    }
    let size: usize = context.values().map(|value| value.to_string().len()).sum();
    if size > LONGEST_CONTEXT {
        return Err(ApiError::BadRequest(format!("`context` must have at most {LONGEST_CONTEXT} bytes")));
    }
    let ranking = deps.predict.ask(Predict { task, context }).await??;
    Ok(HttpResponse::Ok().json(shape(ranking)))
}

pub async fn status(deps: Data<Learner>) -> Result<HttpResponse, ApiError> {
    let status = deps.status.ask(GetLearnerStatus).await?;
    let hand_over = deps.hand_over.ask(GetHandOver).await?;
    Ok(HttpResponse::Ok().json(api::learner::LearnerStatus {
        waiting: status.waiting,
        bytes: status.bytes,
        landed: status.landed,
        dropped: status.dropped,
        offered: hand_over.waiting,
        offers_dropped: hand_over.dropped,
    }))
}

/// The fault of a child like any other, under a name of its own.
pub async fn drill(deps: Data<Learner>, caller: Caller, payload: Payload) -> Result<HttpResponse, ApiError> {
    inject(deps.drill.as_ref(), &caller, "learner", payload).await?;
    Ok(HttpResponse::Accepted().finish())
}

fn shape(ranking: Ranking) -> api::learner::Prediction {
    let ranked = |ranked: crate::learning::rank::Ranked| api::learner::Ranked {
        agent_id: ranked.agent,
        confidence: ranked.confidence,
        lower: ranked.lower,
        n_eff: ranked.n_eff,
    };
    api::learner::Prediction {
        agent_id: ranking.agent,
        confidence: ranking.confidence,
        lower: ranking.lower,
        n_eff: ranking.n_eff,
        explored: ranking.explored,
        reasons: ranking.reasons,
        ranking: ranking.ranking.into_iter().map(ranked).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::learning::rank::Ranked;
    use crate::messages::learner::{HandOver, LearnError, LearnerStatus};
    use crate::messages::supervision::Intervened;
    use crate::web::asked::{ask, request};
    use crate::web::fakes::edges;
    use crate::web::routes::Edges;

    fn answering(answer: impl Fn(Predict) -> Result<Ranking, LearnError> + Send + Sync + 'static) -> Edges {
        let mut edges = edges();
        edges.learner.predict = Port::answering(move |asked| Ok(answer(asked)));
        edges
    }

    fn pacer() -> Ranking {
        let agent = crate::ids::AgentId::new("PACER").expect("an agent id");
        Ranking {
            agent: Some(agent.clone()),
            confidence: 0.75,
            lower: 0.5,
            n_eff: 12.0,
            explored: false,
            reasons: vec!["near".to_owned()],
            ranking: vec![Ranked { agent, confidence: 0.75, lower: 0.5, n_eff: 12.0, score: 0.8 }],
        }
    }

    #[actix_web::test]
    async fn a_prediction_has_the_shape_of_the_contract() {
        let edges = answering(|asked| {
            assert_eq!((asked.task.as_str(), &asked.context["kind"]), ("read the load", &json!("fast")));
            Ok(pacer())
        });
        let body = r#"{"task": " read the load ", "context": {"kind": "fast"}}"#;
        let answer = ask(edges, request("POST /api/v1/agents/predict").set_payload(body)).await;
        assert_eq!(answer.status, 200);
        let expected = json!({"agent_id": "PACER", "confidence": 0.75, "lower": 0.5, "n_eff": 12.0, "explored": false,
            "reasons": ["near"],
            "ranking": [{"agent_id": "PACER", "confidence": 0.75, "lower": 0.5, "n_eff": 12.0}]});
        assert_eq!(answer.json(), expected);
    }

    #[actix_web::test]
    async fn a_context_has_its_bound() {
        let body = json!({"task": "a", "context": {"log": "x".repeat(20_000)}}).to_string();
        let answer = ask(answering(|_| Ok(pacer())), request("POST /api/v1/agents/predict").set_payload(body)).await;
        assert_eq!(answer.status, 400);
    }

    #[actix_web::test]
    async fn a_bad_question_and_an_absent_database_are_told_apart() {
        for body in ["{}", r#"{"task": ""}"#, r#"{"task": 3}"#, r#"{"task": "a", "agent": "B"}"#, "no"] {
            let answer =
                ask(answering(|_| Ok(pacer())), request("POST /api/v1/agents/predict").set_payload(body)).await;
            assert_eq!((answer.status, answer.header("content-type")), (400, "application/problem+json"), "{body}");
        }
        let away = answering(|_| Err(LearnError::Past { detail: "the database is away".to_owned() }));
        let answer = ask(away, request("POST /api/v1/agents/predict").set_payload(r#"{"task": "a"}"#)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    }

    #[actix_web::test]
    async fn the_status_tells_what_waits_on_disk_and_what_waits_before_it() {
        let mut edges = edges();
        edges.learner.status = Port::answering(|_| Ok(LearnerStatus { waiting: 1, bytes: 2, landed: 3, dropped: 4 }));
        edges.learner.hand_over = Port::answering(|_| Ok(HandOver { waiting: 5, dropped: 6 }));
        let answer = ask(edges, request("GET /api/v1/learner")).await;
        let expected = json!({"waiting": 1, "bytes": 2, "landed": 3, "dropped": 4, "offered": 5, "offers_dropped": 6});
        assert_eq!(answer.json(), expected);
    }

    #[actix_web::test]
    async fn a_drill_needs_to_be_allowed() {
        assert_eq!(ask(edges(), request("POST /api/v1/learner/drill")).await.status, 404);
        let mut edges = edges();
        edges.learner.drill = Some(Port::answering(|_| Ok(Intervened::Done)));
        assert_eq!(ask(edges, request("POST /api/v1/learner/drill")).await.status, 202);
    }
}
