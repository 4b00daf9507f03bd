//! The workbench: what all tool calls on a node have in common, from which each call's `ToolCx` is made.
use std::sync::Arc;
use std::time::Instant;

use crate::ids::AgentId;
use crate::ids::NodeId;
use crate::ids::RunId;
use crate::ids::StepId;
use crate::toolkit::cx::{Artifacts, CancelFlag, Hash, History, Roots, Sign, Time, ToolCx, Writes};
use crate::toolkit::learned::Learning;

/// Made once at start, shared by the agents.
pub struct Workbench {
    pub node: NodeId,
    pub roots: Arc<Roots>,
    pub writes: Arc<Writes>,
    pub time: Arc<dyn Time>,
    pub sign: Arc<dyn Sign>,
    pub history: Arc<dyn History>,
    pub learning: Arc<dyn Learning>,
    pub artifacts: Arc<dyn Artifacts>,
    pub hash: Arc<dyn Hash>,
    pub hash_key: [u8; 32],
    pub no_broker: Option<String>,
}

impl Workbench {
    pub fn cx(&self, run: &RunId, step: &StepId, agent: &AgentId, deadline: Instant, cancel: CancelFlag) -> ToolCx {
        ToolCx {
            node: self.node.clone(),
            run: *run,
            step: step.clone(),
            agent: agent.clone(),
            roots: Arc::clone(&self.roots),
            writes: Arc::clone(&self.writes),
            deadline,
            cancel,
            time: Arc::clone(&self.time),
            sign: Arc::clone(&self.sign),
            history: Arc::clone(&self.history),
            learning: Arc::clone(&self.learning),
            artifacts: Arc::clone(&self.artifacts),
            hash: Arc::clone(&self.hash),
            hash_key: self.hash_key,
            no_broker: self.no_broker.clone(),
        }
    }
}
