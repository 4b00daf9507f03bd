//! The automatic actions. Each is bounded and is taken back by itself.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Agents work on fewer steps at once.
    ReduceAgentConcurrency,
    /// Runs that are not critical begin no more steps.
    PauseNonCritical,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Action::ReduceAgentConcurrency => "reduce-agent-concurrency",
            Action::PauseNonCritical => "pause-non-critical",
        }
    }
}

/// What is to be carried out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Agents use this share of their places, at least one each.
    SetShare(f64),
    HoldBack,
    LetGo,
}
