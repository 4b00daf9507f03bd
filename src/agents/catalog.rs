//! All agents, cross-checked: no duplicate, no unknown tool.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::agents::profile::AgentProfile;
use crate::ids::{AgentId, ToolId};

/// The agents by id. Made once at start and shared.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    agents: BTreeMap<AgentId, Arc<AgentProfile>>,
}

impl Catalog {
    pub fn get(&self, id: &AgentId) -> Option<&Arc<AgentProfile>> {
        self.agents.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<AgentProfile>> {
        self.agents.values()
    }

    pub fn len(&self) -> usize {
        self.agents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    pub fn grants(&self, agent: &AgentId, tool: &ToolId) -> bool {
        self.get(agent).is_some_and(|profile| profile.tools.contains(tool))
    }
}
