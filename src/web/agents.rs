//! `/agents`: what each agent is and how it is doing; restart, and drills where they are allowed.
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use futures_util::future::join_all;

use crate::agents::catalog::Catalog;
use crate::agents::profile::AgentProfile;
use crate::api;
use crate::api::agent::AgentState;
use crate::ids::AgentId;
use crate::messages::agent::AgentStats;
use crate::messages::agent::GetStats;
use crate::messages::port::Port;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Describe;
use crate::messages::supervision::Node;
use crate::messages::supervision::{Intervene, Intervened, Intervention};
use crate::resilience::breaker::BreakerOptions;
use crate::web::auth::Caller;
use crate::web::error::ApiError;
use crate::web::supervision::{breaker_shape, inject};

/// What these routes need.
#[derive(Clone)]
pub struct Agents {
    pub catalog: Arc<Catalog>,
    /// The root supervisor, under which an agent's child bears its id.
    pub tree: Port<Describe>,
    pub intervene: Port<Intervene>,
    pub stats: Arc<BTreeMap<AgentId, Port<GetStats>>>,
    /// None: the configuration allows no drills.
    pub drill: Option<Port<Intervene>>,
}

/// An agent that is busy on its arbiter is listed without figures rather than late.
const STATS_WITHIN: Duration = Duration::from_secs(1);

pub async fn list(deps: Data<Agents>) -> Result<HttpResponse, ApiError> {
    let tree = deps.tree.ask(Describe).await?;
    let mut nodes = HashMap::new();
    by_name(&tree, &mut nodes);
    let shapes = deps.catalog.iter().map(|profile| {
        let node = nodes.get(profile.id.as_str()).copied();
        let deps = &deps;
        async move { shape(profile, node, stats_of(deps, node, &profile.id).await) }
    });
    let agents = join_all(shapes).await;
    Ok(HttpResponse::Ok().json(api::agent::Agents { agents, next: None }))
}

pub async fn show(deps: Data<Agents>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let profile = find(&deps.catalog, &id)?;
    let tree = deps.tree.ask(Describe).await?;
    let mut nodes = HashMap::new();
    by_name(&tree, &mut nodes);
    let node = nodes.get(profile.id.as_str()).copied();
    let stats = stats_of(&deps, node, &profile.id).await;
    let mut agent = shape(profile, node, stats);
    agent.instructions = Some(profile.instructions.clone());
    agent.breaker_rules = Some(breaker_rules(&profile.breaker));
    Ok(HttpResponse::Ok().json(agent))
}

pub async fn restart(deps: Data<Agents>, caller: Caller, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let profile = find(&deps.catalog, &id)?;
    let (name, who) = (profile.id.to_string(), caller.who.to_string());
    match deps.intervene.ask(Intervene { name, how: Intervention::Restart, who }).await? {
        Intervened::Done => {}
        Intervened::NotAlive => {
            return Err(ApiError::Conflict(format!("the supervisor of {} is being started; ask again", profile.id)));
        }
        Intervened::Unknown => {
            return Err(ApiError::NotFound(format!("no supervisor has a child `{}`", profile.id)));
        }
    }
    let answer = api::accepted::Restarting { agent_id: profile.id.clone(), status: "restarting".to_owned() };
    Ok(HttpResponse::Accepted().json(answer))
}

pub async fn drill(
    deps: Data<Agents>,
    caller: Caller,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let agent_id = find(&deps.catalog, &id)?.id.clone();
    let fault = inject(deps.drill.as_ref(), &caller, agent_id.as_str(), payload).await?;
    Ok(HttpResponse::Accepted().json(api::agent::Drilled { agent_id, fault }))
}

fn find<'a>(catalog: &'a Catalog, id: &str) -> Result<&'a Arc<AgentProfile>, ApiError> {
    let known = AgentId::new(&id.to_ascii_uppercase()).ok().and_then(|id| catalog.get(&id));
    known.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no agent `{id}`; `GET /api/v1/agents` lists them"))
}

/// The one request that a half-open breaker admits is for a step, not for a look.
async fn stats_of(deps: &Agents, node: Option<&Node>, id: &AgentId) -> Option<AgentStats> {
    node.filter(|node| node.state == ChildState::Up)?;
    deps.stats.get(id)?.ask_within(GetStats, STATS_WITHIN).await.ok()
}

fn by_name<'a>(node: &'a Node, found: &mut HashMap<&'a str, &'a Node>) {
    found.insert(&node.name, node);
    for child in &node.children {
        by_name(child, found);
    }
}

fn shape(profile: &AgentProfile, node: Option<&Node>, stats: Option<AgentStats>) -> api::agent::Agent {
    let breaker = node.and_then(|node| node.breaker).map(breaker_shape);
    let closed = || api::supervision::Breaker { state: "closed".to_owned(), retry_after_s: None };
    let queue = node.map_or(0, |node| node.queue);
    api::agent::Agent {
        agent_id: profile.id.clone(),
        group: profile.group,
        domain: profile.domain.clone(),
        description: profile.description.clone(),
        tools: profile.tools.clone(),
        policy: profile.policy,
        criticality: profile.criticality,
        timeout_ms: millis(profile.timeout),
        concurrency: profile.concurrency,
        state: node.map_or(AgentState::Down, |node| agent_state(node.state)),
        breaker: breaker.unwrap_or_else(closed),
        queue: stats.as_ref().map_or(queue, |stats| stats.queue.max(queue)),
        restarts: node.map_or(0, |node| node.restarts),
        p50_ms: stats.as_ref().and_then(|stats| stats.p50_ms),
        p95_ms: stats.as_ref().and_then(|stats| stats.p95_ms),
        success_rate: stats.as_ref().and_then(|stats| stats.success_rate),
        done: stats.as_ref().map(|stats| stats.done),
        failed: stats.as_ref().map(|stats| stats.failed),
        last_exit: node.and_then(|node| node.last_exit.clone()),
        breaker_rules: None,
        instructions: None,
    }
}

fn breaker_rules(rules: &BreakerOptions) -> api::agent::BreakerRules {
    api::agent::BreakerRules {
        in_a_row: rules.in_a_row,
        window: rules.window,
        min_calls: rules.min_calls,
        failed_share: rules.failed_share,
        slow_share: rules.slow_share,
        slow_ms: millis(rules.slow),
        open_for_ms: millis(rules.open_for),
        probe_timeout_ms: millis(rules.probe_timeout),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The contract knows no `starting`: to a caller it is the same as a restart.
fn agent_state(state: ChildState) -> AgentState {
    match state {
        ChildState::Up => AgentState::Up,
        ChildState::Starting | ChildState::Restarting => AgentState::Restarting,
        ChildState::Open => AgentState::Open,
        ChildState::HalfOpen => AgentState::HalfOpen,
        ChildState::Down => AgentState::Down,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::ids::ToolId;
    use crate::messages::supervision::NodeKind;
    use crate::messages::supervision::{BreakerView, Fault};
    use crate::web::asked::{ask, request};
    use crate::web::fakes::{edges, shut, worker};
    use crate::web::routes::Edges;

    /// One agent, `PACER`, whose child is as `node` says.
    fn with_agent(node: Node) -> Edges {
        let text = "---\nname: pacer\ndescription: Use before heavy work.\ndsmil: { group: core, domain: load, policy: ro, \
                    criticality: normal, timeout: 10s, tools: [load.read], breaker: { in_a_row: 3 } }\n---\nRead twice.\n";
        let tools = BTreeSet::from([ToolId::new("load.read").expect("a tool id")]);
        let files = [("pacer.md".to_owned(), text.to_owned())];
        let catalog = Catalog::from_files(files.into_iter(), &tools).expect("a catalog");
        let mut edges = edges();
        edges.agents.catalog = Arc::new(catalog);
        edges.agents.tree = Port::answering(move |_| {
            let group = Node { children: vec![node.clone()], kind: NodeKind::Supervisor, ..worker("agents-1") };
            Ok(Node { children: vec![group], kind: NodeKind::Supervisor, ..worker("root") })
        });
        edges
    }

    fn pacer() -> AgentId {
        AgentId::new("PACER").expect("an agent id")
    }

    #[actix_web::test]
    async fn an_agent_is_its_profile_its_child_and_its_figures() {
        let mut edges = with_agent(Node { restarts: 2, queue: 1, ..worker("PACER") });
        let stats =
            AgentStats { done: 9, failed: 1, p50_ms: Some(4.0), p95_ms: Some(9.5), success_rate: Some(0.9), queue: 3 };
        let figures = Port::answering(move |_| Ok(stats.clone()));
        edges.agents.stats = Arc::new(BTreeMap::from([(pacer(), figures)]));
        let agent = ask(edges.clone(), request("GET /api/v1/agents")).await.json()["agents"][0].clone();
        for (key, value) in [
            ("agent_id", json!("PACER")),
            ("group", json!("core")),
            ("tools", json!(["load.read"])),
            ("policy", json!("ro")),
            ("state", json!("up")),
            ("breaker", json!({ "state": "closed", "retry_after_s": null })),
            ("queue", json!(3)),
            ("restarts", json!(2)),
            ("p50_ms", json!(4.0)),
            ("p95_ms", json!(9.5)),
            ("success_rate", json!(0.9)),
        ] {
            assert_eq!(agent[key], value, "{key} of {agent}");
        }
        let one = ask(edges, request("GET /api/v1/agents/pacer")).await.json();
        assert_eq!(one["instructions"].as_str().map(str::trim), Some("Read twice."));
        let rules = &one["breaker_rules"];
        assert_eq!(
            (&rules["in_a_row"], &rules["slow_ms"], &rules["open_for_ms"]),
            (&json!(3), &json!(10_000), &json!(60_000))
        );
    }

    #[actix_web::test]
    async fn an_agent_behind_an_open_breaker_is_listed_without_figures() {
        let breaker = Some(BreakerView { state: "open", retry_after_s: Some(42.0) });
        let mut edges = with_agent(Node { state: ChildState::Open, breaker, ..worker("PACER") });
        edges.agents.stats = Arc::new(BTreeMap::from([(pacer(), shut())]));
        let agent = ask(edges, request("GET /api/v1/agents")).await.json()["agents"][0].clone();
        assert_eq!((&agent["state"], &agent["breaker"]["retry_after_s"]), (&json!("open"), &json!(42.0)));
        assert_eq!((&agent["p50_ms"], &agent["success_rate"]), (&json!(null), &json!(null)));
    }

    #[actix_web::test]
    async fn a_restart_names_the_child_and_an_unknown_agent_is_not_found() {
        let mut edges = with_agent(worker("PACER"));
        edges.agents.intervene = Port::answering(|asked: Intervene| {
            assert_eq!((asked.how, asked.who.as_str()), (Intervention::Restart, "token:admin"));
            Ok(if asked.name == "PACER" { Intervened::Done } else { Intervened::Unknown })
        });
        assert_eq!(ask(edges.clone(), request("POST /api/v1/agents/PACER/restart")).await.status, 202);
        assert_eq!(ask(edges.clone(), request("POST /api/v1/agents/NOBODY/restart")).await.status, 404);
        assert_eq!(ask(edges, request("GET /api/v1/agents/NOBODY")).await.status, 404);
    }

    #[actix_web::test]
    async fn drills_need_to_be_allowed() {
        let asked = |body: &'static str| request("POST /api/v1/agents/PACER/drill").set_payload(body);
        let refused = ask(with_agent(worker("PACER")), asked(r#"{"fault":"panic"}"#)).await;
        assert_eq!(refused.status, 404);
        let mut edges = with_agent(worker("PACER"));
        edges.agents.drill = Some(Port::answering(|asked: Intervene| {
            assert_eq!((asked.name.as_str(), asked.how), ("PACER", Intervention::Inject(Fault::Panic)));
            Ok(Intervened::Done)
        }));
        assert_eq!(ask(edges.clone(), asked(r#"{"fault":"panic"}"#)).await.status, 202);
        for bad in [r#"{"fault":"explode"}"#, r#"{"fault":"panic","twice":true}"#, "{"] {
            assert_eq!(ask(edges.clone(), asked(bad)).await.status, 400, "{bad}");
        }
    }
}
