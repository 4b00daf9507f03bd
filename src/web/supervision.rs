//! `/supervision`: the tree, as the root describes it; and drills where they are allowed.
use actix_web::HttpResponse;
use actix_web::web::{Data, Path};

use crate::api;
use crate::messages::port::Port;
use crate::messages::supervision::BreakerView;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Describe;
use crate::messages::supervision::Ending;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;
use crate::messages::supervision::RestartChild;
use crate::web::error::ApiError;

/// What these routes need.
#[derive(Clone)]
pub struct Supervision {
    /// The root supervisor.
    pub tree: Port<Describe>,
    /// None: the configuration allows no drills.
    pub drill: Option<Port<RestartChild>>,
}

pub async fn show(deps: Data<Supervision>) -> Result<HttpResponse, ApiError> {
    let root = deps.tree.ask(Describe).await?;
    Ok(HttpResponse::Ok().json(shape(root)))
}

/// Has a child panic, whichever it is. That there is one is all that is answered: a panic leaves no one to tell.
pub async fn drill(deps: Data<Supervision>, name: Path<String>) -> Result<HttpResponse, ApiError> {
    let Some(port) = &deps.drill else {
        return Err(ApiError::NotFound("drills are not allowed here; `drills.enabled` allows them".to_owned()));
    };
    let name = name.into_inner();
    if !port.ask(RestartChild { name: name.clone(), by: Ending::Panic }).await? {
        let refusal = format!("there is no child `{name}`; `GET /api/v1/supervision` shows the tree");
        return Err(ApiError::NotFound(refusal));
    }
    Ok(HttpResponse::Accepted().json(api::supervision::Drilled { child: name }))
}

fn shape(node: Node) -> api::supervision::Node {
    let kind = match node.kind {
        NodeKind::Supervisor => "supervisor",
        NodeKind::Worker => "worker",
        NodeKind::Guest => "guest",
    };
    api::supervision::Node {
        name: node.name,
        kind: kind.to_owned(),
        strategy: node.strategy.map(str::to_owned),
        state: state_name(node.state).to_owned(),
        epoch: node.epoch,
        restarts_in_window: node.restarts_in_window,
        restarts: node.restarts,
        breaker: node.breaker.map(breaker_shape),
        queue: node.queue,
        last_exit: node.last_exit,
        arbiter: node.arbiter,
        label: node.label,
        children: node.children.into_iter().map(shape).collect(),
        more: node.more,
    }
}

fn state_name(state: ChildState) -> &'static str {
    match state {
        ChildState::Starting => "starting",
        ChildState::Up => "up",
        ChildState::Restarting => "restarting",
        ChildState::Open => "open",
        ChildState::HalfOpen => "half_open",
        ChildState::Down => "down",
    }
}

pub fn breaker_shape(view: BreakerView) -> api::supervision::Breaker {
    api::supervision::Breaker { state: view.state.to_owned(), retry_after_s: view.retry_after_s }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::asked::{ask, request};
    use crate::web::fakes::edges;

    #[actix_web::test]
    async fn a_drill_needs_to_be_allowed_and_a_child_that_exists() {
        assert_eq!(ask(edges(), request("POST /api/v1/supervision/signer/drill")).await.status, 404);
        let mut edges = edges();
        let known = |asked: RestartChild| Ok(asked.name == "signer" && asked.by == Ending::Panic);
        edges.supervision.drill = Some(Port::answering(known));
        let done = ask(edges.clone(), request("POST /api/v1/supervision/signer/drill")).await;
        assert_eq!((done.status, done.json()["child"].as_str()), (202, Some("signer")));
        let unknown = ask(edges, request("POST /api/v1/supervision/nobody/drill")).await;
        assert!(unknown.status == 404 && unknown.text.contains("`nobody`"), "{}", unknown.text);
    }
}
