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

/// What agents and engine keep to. It is a state and no order: who starts anew finds it, and nothing can be lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Restraint {
    /// Agents use this share of their places, at least one each.
    pub share: f64,
    /// Runs that are not critical wait.
    pub hold_back: bool,
}

impl Restraint {
    pub const NONE: Restraint = Restraint { share: 1.0, hold_back: false };
}

/// What is to be carried out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Agents use this share of their places, at least one each.
    SetShare(f64),
    HoldBack,
    LetGo,
}
