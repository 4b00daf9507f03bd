//! Looks at the 80 agents once a second: their state in the supervision tree, and how they have been doing.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tracing::debug;

use crate::actors::context::Ctx;
use crate::actors::monitor::changes::Changes;
use crate::agents::catalog::Catalog;
use crate::agents::profile::AgentProfile;
use crate::alerts::metric as m;
use crate::alerts::metric::Sample;
use crate::clock;
use crate::feed::channel::Channel;
use crate::ids::AgentId;
use crate::messages::agent::{AgentStats, GetStats};
use crate::messages::alerts::Observe;
use crate::messages::events::Publish;
use crate::messages::port::Port;
use crate::messages::supervision::{ChildState, Describe, Node};

/// An agent that is busy is told of without new figures.
const WITHIN: Duration = Duration::from_millis(500);

/// The ports of the monitor of agents.
#[derive(Clone)]
pub struct Doors {
    pub tree: Port<Describe>,
    pub stats: Arc<BTreeMap<AgentId, Port<GetStats>>>,
    pub observe: Port<Observe>,
    pub feed: Port<Publish>,
}

pub struct AgentMonitor {
    catalog: Arc<Catalog>,
    interval: Duration,
    doors: Doors,
    changes: Changes,
    /// A look is under way.
    looking: bool,
}

impl AgentMonitor {
    pub fn new(catalog: Arc<Catalog>, interval: Duration, doors: Doors) -> Self {
        let changes = Changes::new(Channel::Agents, doors.feed.clone());
        AgentMonitor { catalog, interval, doors, changes, looking: false }
    }

    fn look(&mut self, ctx: &mut Ctx<Self>) {
        if std::mem::replace(&mut self.looking, true) {
            return;
        }
        let doors = self.doors.clone();
        let asking = async move {
            let tree = doors.tree.ask_within(Describe, WITHIN).await.ok()?;
            let mut nodes = HashMap::new();
            by_name(&tree, &mut nodes);
            // The one request that a half-open breaker admits is for a step, not for a look.
            let up = |id: &AgentId| nodes.get(id.as_str()).is_some_and(|node| node.state == ChildState::Up);
            let stats = doors.stats.iter().filter(|(id, _)| up(id));
            let stats =
                stats.map(|(id, port)| async move { (id.clone(), port.ask_within(GetStats, WITHIN).await.ok()) });
            let stats = join_all(stats).await;
            Some((tree, stats))
        };
        ctx.spawn(asking.into_actor(self).map(|looked, monitor, _| {
            monitor.looking = false;
            if let Some((tree, stats)) = looked {
                monitor.tell(&tree, stats.into_iter().collect());
            }
        }));
    }

    fn tell(&mut self, tree: &Node, stats: HashMap<AgentId, Option<AgentStats>>) {
        let at = clock::wall();
        let mut nodes = HashMap::new();
        by_name(tree, &mut nodes);
        let (mut samples, mut not_up, mut queued) = (Vec::with_capacity(self.catalog.len() + 2), 0, 0);
        let mut values = Vec::with_capacity(self.catalog.len());
        for profile in self.catalog.iter() {
            let node = nodes.get(profile.id.as_str()).copied();
            let state = node.map_or(ChildState::Down, |node| node.state);
            not_up += usize::from(state != ChildState::Up);
            queued += node.map_or(0, |node| node.queue);
            let open = matches!(state, ChildState::Open | ChildState::HalfOpen);
            samples.push(Sample::of(m::AGENT_OPEN, profile.id.as_str(), f64::from(u8::from(open))));
            let stats = stats.get(&profile.id).and_then(Option::as_ref);
            if let Some(stats) = stats {
                samples.push(Sample::of(m::STEPS, profile.id.as_str(), stats.done as f64));
                samples.push(Sample::of(m::FAILED_STEPS, profile.id.as_str(), stats.failed as f64));
            }
            values.push((profile.id.to_string(), shown(profile, node, stats)));
        }
        self.changes.publish(values, at);
        samples.push(Sample::new(m::AGENTS_DOWN, not_up as f64));
        samples.push(Sample::new(m::QUEUE, queued as f64));
        if let Err(refusal) = self.doors.observe.try_tell(Observe { at, samples }) {
            debug!("a reading of the agents is lost: {refusal}");
        }
    }
}

fn shown(profile: &AgentProfile, node: Option<&Node>, stats: Option<&AgentStats>) -> Value {
    let state = match node.map(|node| node.state) {
        Some(ChildState::Up) => "up",
        Some(ChildState::Starting | ChildState::Restarting) => "restarting",
        Some(ChildState::Open) => "open",
        Some(ChildState::HalfOpen) => "half_open",
        Some(ChildState::Down) | None => "down",
    };
    json!({
        "group": profile.group, "criticality": profile.criticality, "state": state,
        "queue": node.map_or(0, |node| node.queue), "restarts": node.map_or(0, |node| node.restarts),
        "last_exit": node.and_then(|node| node.last_exit.clone()),
        "p50_ms": stats.and_then(|stats| stats.p50_ms), "p95_ms": stats.and_then(|stats| stats.p95_ms),
        "success_rate": stats.and_then(|stats| stats.success_rate),
        "done": stats.map(|stats| stats.done), "failed": stats.map(|stats| stats.failed),
    })
}

fn by_name<'a>(node: &'a Node, found: &mut HashMap<&'a str, &'a Node>) {
    found.insert(&node.name, node);
    node.children.iter().for_each(|child| by_name(child, found));
}

impl Actor for AgentMonitor {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        ctx.run_interval(self.interval, |monitor, ctx| monitor.look(ctx));
    }
}
