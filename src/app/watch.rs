//! The part of the tree that watches: monitors, alert handler, recovery manager.
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::actors::agent::Agent;
use crate::actors::alert_archive::Archive;
use crate::actors::alert_handler::{self, AlertHandler};
use crate::actors::auditor::Auditor;
use crate::actors::child::{ChildOptions, ChildSpec, Place};
use crate::actors::home::{Home, HomeError};
use crate::actors::monitor::agents::{self as agent_monitor, AgentMonitor};
use crate::actors::monitor::entries::NewEntries;
use crate::actors::monitor::host::HostMonitor;
use crate::actors::monitor::service::{self as service_monitor, ServiceMonitor};
use crate::actors::orchestrator::Orchestrator;
use crate::actors::recovery_manager::{self, RecoveryManager};
use crate::actors::slot::Ref;
use crate::actors::supervisor::SupervisorSpec;
use crate::app::parts::Parts;
use crate::app::tree::{Data, options, outside, supervisor};
use crate::config::Config;
use crate::ids::AgentId;
use crate::messages::events::Publish;
use crate::messages::port::Port;
use crate::messages::supervision::Describe;
use crate::recovery::action::Restraint;
use crate::resilience::admission::Priority;
use crate::resilience::roster::Strategy;

/// What the watchers look at.
pub struct Sights<'a> {
    pub data: &'a Data,
    pub auditor: &'a Ref<Auditor>,
    pub orchestrator: &'a Ref<Orchestrator>,
    pub agents: &'a BTreeMap<AgentId, Ref<Agent>>,
    pub restrain: Arc<watch::Sender<Restraint>>,
    pub tree: Port<Describe>,
    pub feed: Port<Publish>,
    pub archive: Archive,
}

/// The recovery manager comes first and the monitors last, so that whom they tell is there.
pub fn watch(
    config: &Config,
    parts: &Parts,
    sights: Sights<'_>,
) -> Result<(SupervisorSpec, Ref<AlertHandler>), HomeError> {
    let Sights { data, auditor, orchestrator, agents, restrain, tree, feed, archive } = sights;
    let home = Home::start("watch")?;
    let (mode, hold) = (config.watch.actions, config.watch.hold);
    let doors = recovery_manager::Doors { restrain, feed: feed.clone(), scribe: archive.scribe.clone() };
    let rules = ChildOptions { breaker: outside(), ..options(&home) };
    let (recovery_spec, recovery) =
        ChildSpec::worker("recovery", rules.clone(), move || RecoveryManager::new(mode, hold, doors.clone()));
    let doors = alert_handler::Doors { archive, feed: feed.clone(), recovery: recovery.port() };
    let alerts = Arc::clone(&parts.alerts);
    let (alerts_spec, handler) =
        ChildSpec::worker("alerts", rules, move || AlertHandler::new(alerts.to_vec(), doors.clone()));

    let interval = config.watch.interval;
    let (proc_root, data_dir) = (config.roots.proc.clone(), parts.data_dir.clone());
    let (observe, news) = (handler.port(), feed.clone());
    // It reads files, and nobody asks it anything.
    let alone = ChildOptions { breaker: None, ..ChildOptions::at(Place::Dedicated) };
    let (host_spec, _) = ChildSpec::worker("host-monitor", alone, move || {
        HostMonitor::new(proc_root.clone(), data_dir.clone(), interval, observe.clone(), news.clone())
    });
    let doors = agent_monitor::Doors {
        tree,
        stats: Arc::new(agents.iter().map(|(id, agent)| (id.clone(), agent.port_for(Priority::Critical))).collect()),
        observe: handler.port(),
        feed: feed.clone(),
    };
    let catalog = Arc::clone(&parts.catalog);
    let unasked = ChildOptions { breaker: None, ..options(&home) };
    let (agents_spec, _) = ChildSpec::worker("agent-monitor", unasked.clone(), move || {
        AgentMonitor::new(Arc::clone(&catalog), interval, doors.clone())
    });
    let doors = service_monitor::Doors {
        // that is how it is known whether they are there: not the first to be refused
        count: data.reader.port_for(Priority::System),
        entries: NewEntries::new(data.reader.port_for(Priority::Background), feed.clone()),
        head: auditor.port_for(Priority::System),
        engine: orchestrator.port_for(Priority::System),
        observe: handler.port(),
        feed,
    };
    let (service_spec, _) =
        ChildSpec::worker("service-monitor", unasked, move || ServiceMonitor::new(interval, doors.clone()));
    let children = vec![recovery_spec, alerts_spec, host_spec, agents_spec, service_spec];
    Ok((supervisor("watch", Strategy::OneForOne, 10, children), handler))
}
