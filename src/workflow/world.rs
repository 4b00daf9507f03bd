//! What a document is checked against: the agents, the tools, the playbooks and the limits. Built once at start.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::agents::catalog::Catalog;
use crate::agents::profile::AgentProfile;
use crate::ids::AgentId;
use crate::ids::ToolId;
use crate::toolkit::spec::ToolSpec;
use crate::workflow::fault::Limits;
use crate::workflow::step::ToolFacts;

#[derive(Debug, Clone, Default)]
pub struct World {
    pub agents: BTreeMap<AgentId, AgentFacts>,
    pub tools: BTreeMap<ToolId, ToolFacts>,
    /// Documents by the name under which they may be started.
    pub playbooks: BTreeMap<String, Value>,
    pub limits: Limits,
}

/// What a plan must know of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFacts {
    /// Granted tools; the first is the default.
    pub tools: Vec<ToolId>,
    /// Default time for a step.
    pub timeout: Duration,
}

impl From<&AgentProfile> for AgentFacts {
    fn from(profile: &AgentProfile) -> Self {
        AgentFacts { tools: profile.tools.clone(), timeout: profile.timeout }
    }
}

impl World {
    pub fn new<'a>(
        catalog: &Catalog,
        tools: impl IntoIterator<Item = &'a ToolSpec>,
        playbooks: BTreeMap<String, Value>,
        limits: Limits,
    ) -> Self {
        World {
            agents: catalog.iter().map(|profile| (profile.id.clone(), profile.as_ref().into())).collect(),
            tools: tools.into_iter().map(|spec| (spec.id.clone(), spec.into())).collect(),
            playbooks,
            limits,
        }
    }
}
