//! `GET /supervision`: the tree, as the root describes it.
use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::api;
use crate::messages::port::Port;
use crate::messages::supervision::BreakerView;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Describe;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;
use crate::web::error::ApiError;

/// What these routes need.
#[derive(Clone)]
pub struct Supervision {
    /// The root supervisor.
    pub tree: Port<Describe>,
}

pub async fn show(deps: Data<Supervision>) -> Result<HttpResponse, ApiError> {
    let root = deps.tree.ask(Describe).await?;
    Ok(HttpResponse::Ok().json(shape(root)))
}

fn shape(node: Node) -> api::supervision::Node {
    let kind = match node.kind {
        NodeKind::Supervisor => "supervisor",
        NodeKind::Worker => "worker",
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
        children: node.children.into_iter().map(shape).collect(),
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
