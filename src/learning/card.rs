//! The agents as the learner sees them: each with the vector of what it is for, made once at the start.
use std::collections::BTreeSet;

use crate::agents::catalog::Catalog;
use crate::ids::{AgentId, ToolId};
use crate::learning::embed::{Embedder, Vector};
use crate::learning::words;

#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    pub agent: AgentId,
    /// Granted tools; the first is the default.
    pub tools: Vec<ToolId>,
    pub vector: Vector,
}

/// One card for each agent, in the order of their ids.
pub fn cards(catalog: &Catalog, embedder: &Embedder) -> Vec<Card> {
    let card = |profile: &std::sync::Arc<crate::agents::profile::AgentProfile>| Card {
        agent: profile.id.clone(),
        tools: profile.tools.clone(),
        vector: embedder.embed(&words::of_agent(profile)),
    };
    catalog.iter().map(card).collect()
}

impl Card {
    /// The tool that the agent would use: the one asked for, else its default; none: it has none of the `built` ones.
    pub fn tool_for<'c>(&'c self, asked: Option<&'c ToolId>, built: &BTreeSet<ToolId>) -> Option<&'c ToolId> {
        let tool = match asked {
            Some(tool) => self.tools.iter().find(|granted| *granted == tool),
            None => self.tools.first(),
        };
        tool.filter(|tool| built.contains(*tool))
    }
}
