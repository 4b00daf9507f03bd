//! `/supervision`: the tree, as the root describes it; and drills where they are allowed.
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};

use crate::api;
use crate::api::supervision::{Drill, FaultKind};
use crate::messages::port::Port;
use crate::messages::supervision::BreakerView;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Describe;
use crate::messages::supervision::Node;
use crate::messages::supervision::NodeKind;
use crate::messages::supervision::{Fault, Intervene, Intervened, Intervention};
use crate::web::auth::Caller;
use crate::web::body::optional_json_body;
use crate::web::error::ApiError;

/// What these routes need.
#[derive(Clone)]
pub struct Supervision {
    /// The root supervisor.
    pub tree: Port<Describe>,
    /// None: the configuration allows no drills.
    pub drill: Option<Port<Intervene>>,
}

pub async fn show(deps: Data<Supervision>) -> Result<HttpResponse, ApiError> {
    let root = deps.tree.ask(Describe).await?;
    Ok(HttpResponse::Ok().json(shape(root)))
}

pub async fn drill(
    deps: Data<Supervision>,
    caller: Caller,
    name: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let name = name.into_inner();
    let fault = inject(deps.drill.as_ref(), &caller, &name, payload).await?;
    Ok(HttpResponse::Accepted().json(api::supervision::Drilled { child: name, fault }))
}

/// Has a child suffer a fault; that it was told is all that is answered, for a panic leaves no one to tell.
pub async fn inject(
    drill: Option<&Port<Intervene>>,
    caller: &Caller,
    name: &str,
    payload: Payload,
) -> Result<FaultKind, ApiError> {
    let Some(port) = drill else {
        return Err(ApiError::NotFound("drills are not allowed here; `drills.enabled` allows them".to_owned()));
    };
    let asked: Option<Drill> = optional_json_body(payload).await?;
    let asked = asked.unwrap_or_default();
    let how = Intervention::Inject(fault(asked)?);
    match port.ask(Intervene { name: name.to_owned(), how, who: caller.who.to_string() }).await? {
        Intervened::Done => Ok(asked.fault),
        Intervened::NotAlive => Err(ApiError::Conflict(format!(
            "`{name}` cannot be told: it is between two lives, or a guest, which nobody here polls"
        ))),
        Intervened::Unknown => {
            let refusal = format!("there is no child `{name}`; `GET /api/v1/supervision` shows the tree");
            Err(ApiError::NotFound(refusal))
        }
    }
}

const LONGEST_MS: u64 = 60_000;
const MOST_CALLS: u32 = 1_000;

fn fault(Drill { fault, ms, calls }: Drill) -> Result<Fault, ApiError> {
    let refuse = |what: String| Err(ApiError::BadRequest(what));
    let (takes_ms, takes_calls) = match fault {
        FaultKind::Panic => (false, false),
        FaultKind::Stall => (true, false),
        FaultKind::Slow => (true, true),
        FaultKind::Fail => (false, true),
    };
    if ms.is_some() != takes_ms {
        return refuse("`ms` is needed for the faults `stall` and `slow`, and is for them alone".to_owned());
    }
    if calls.is_some() && !takes_calls {
        return refuse("`calls` is for the faults `slow` and `fail` alone".to_owned());
    }
    let (ms, calls) = (ms.unwrap_or(1), calls.unwrap_or(1));
    if !(1..=LONGEST_MS).contains(&ms) || !(1..=MOST_CALLS).contains(&calls) {
        return refuse(format!("`ms` must be from 1 to {LONGEST_MS} and `calls` from 1 to {MOST_CALLS}"));
    }
    let time = Duration::from_millis(ms);
    Ok(match fault {
        FaultKind::Panic => Fault::Panic,
        FaultKind::Stall => Fault::Stall { time },
        FaultKind::Slow => Fault::Slow { by: time, calls },
        FaultKind::Fail => Fault::Fail { calls },
    })
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
        busy: node.busy,
        lost_threads: node.lost_threads,
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
    use serde_json::json;

    use super::*;
    use crate::web::asked::{ask, request};
    use crate::web::fakes::edges;

    #[actix_web::test]
    async fn a_drill_needs_to_be_allowed_and_a_child_that_exists_and_lives() {
        assert_eq!(ask(edges(), request("POST /api/v1/supervision/signer/drill")).await.status, 404);
        let mut edges = edges();
        let known = |asked: Intervene| {
            assert_eq!((asked.how, asked.who.as_str()), (Intervention::Inject(Fault::Panic), "token:admin"));
            Ok(match asked.name.as_str() {
                "signer" => Intervened::Done,
                "auditor" => Intervened::NotAlive,
                _ => Intervened::Unknown,
            })
        };
        edges.supervision.drill = Some(Port::answering(known));
        let done = ask(edges.clone(), request("POST /api/v1/supervision/signer/drill")).await;
        assert_eq!((done.status, done.json()), (202, json!({ "child": "signer", "fault": "panic" })));
        assert_eq!(ask(edges.clone(), request("POST /api/v1/supervision/auditor/drill")).await.status, 409);
        let unknown = ask(edges, request("POST /api/v1/supervision/nobody/drill")).await;
        assert!(unknown.status == 404 && unknown.text.contains("`nobody`"), "{}", unknown.text);
    }

    #[test]
    fn each_fault_takes_what_it_needs_and_nothing_else() {
        let fault = |drill: serde_json::Value| match serde_json::from_value(drill).map(fault) {
            Ok(Ok(fault)) => fault.to_string(),
            _ => "refused".to_owned(),
        };
        let table = [
            (json!({}), "panic"),
            (json!({ "fault": "stall", "ms": 200 }), "stall of 200ms"),
            (json!({ "fault": "slow", "ms": 60_000, "calls": 3 }), "slow by 60s, 3 calls"),
            (json!({ "fault": "fail" }), "fail, 1 calls"),
            (json!({ "fault": "stall" }), "refused"),
            (json!({ "fault": "stall", "ms": 0 }), "refused"),
            (json!({ "fault": "stall", "ms": 60_001 }), "refused"),
            (json!({ "fault": "stall", "ms": 5, "calls": 1 }), "refused"),
            (json!({ "fault": "fail", "calls": 1001 }), "refused"),
            (json!({ "fault": "fail", "ms": 1 }), "refused"),
            (json!({ "fault": "panic", "calls": 1 }), "refused"),
            (json!({ "fault": "explode" }), "refused"),
            (json!({ "twice": true }), "refused"),
        ];
        for (drill, expected) in table {
            assert_eq!(fault(drill.clone()), expected, "{drill}");
        }
    }
}
