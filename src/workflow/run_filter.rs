//! Which runs a list shows.
use chrono::{DateTime, Utc};

use crate::ids::{AgentId, RunId};

/// What is set must hold, all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    pub status: Option<String>,
    pub name: Option<String>,
    /// One who takes part: the plan names it, or the learner chose it.
    pub agent: Option<AgentId>,
    /// `key:value`.
    pub labels: Vec<String>,
    /// Accepted at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Accepted before this moment.
    pub until: Option<DateTime<Utc>>,
    /// Only runs older than this one.
    pub before: Option<RunId>,
    /// 1 to 500.
    pub limit: u32,
}
