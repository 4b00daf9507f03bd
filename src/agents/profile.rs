//! What an agent is: the front matter and body of its file, checked.
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, ToolId};
use crate::resilience::breaker::BreakerOptions;

/// A closed set of words that a key may be.
pub trait Words: Sized + Copy + 'static {
    const ALL: &'static [Self];

    /// The word as it stands in the file.
    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == word)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    Core,
    Specialised,
    Hardware,
}

impl Words for Group {
    const ALL: &'static [Self] = &[Group::Core, Group::Specialised, Group::Hardware];

    fn word(self) -> &'static str {
        match self {
            Group::Core => "core",
            Group::Specialised => "specialised",
            Group::Hardware => "hardware",
        }
    }
}

/// What an agent may do on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Reads only.
    Ro,
    /// Proposes changes; a person or a playbook approves them.
    Prop,
    /// Acts by itself within its limits.
    Auto,
    /// Acts on the control plane alone.
    Cp,
}

impl Words for Policy {
    const ALL: &'static [Self] = &[Policy::Ro, Policy::Prop, Policy::Auto, Policy::Cp];

    fn word(self) -> &'static str {
        match self {
            Policy::Ro => "ro",
            Policy::Prop => "prop",
            Policy::Auto => "auto",
            Policy::Cp => "cp",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    Background,
    Normal,
    Critical,
}

impl Words for Criticality {
    const ALL: &'static [Self] = &[Criticality::Background, Criticality::Normal, Criticality::Critical];

    fn word(self) -> &'static str {
        match self {
            Criticality::Background => "background",
            Criticality::Normal => "normal",
            Criticality::Critical => "critical",
        }
    }
}

/// A checked agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentProfile {
    pub id: AgentId,
    pub group: Group,
    pub domain: String,
    /// When to use it, in one or two sentences.
    pub description: String,
    /// Granted tools; the first is the default.
    pub tools: Vec<ToolId>,
    pub policy: Policy,
    pub criticality: Criticality,
    /// Default time for a step.
    pub timeout: Duration,
    /// How many steps it works on at a time.
    pub concurrency: usize,
    /// When it is withdrawn, and for how long.
    pub breaker: BreakerOptions,
    /// The body of its file.
    pub instructions: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<W: Words + Serialize + PartialEq + std::fmt::Debug>() {
        for &one in W::ALL {
            assert_eq!(W::from_word(one.word()), Some(one));
            assert_eq!(serde_json::to_value(one).unwrap(), one.word(), "files and the API use the same word");
        }
        assert_eq!(W::from_word("other"), None);
    }

    #[test]
    fn each_word_reads_back_and_is_the_word_of_the_api() {
        check::<Group>();
        check::<Policy>();
        check::<Criticality>();
    }
}
