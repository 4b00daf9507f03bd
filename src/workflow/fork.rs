//! A run made from another: steps that succeeded there are carried over, the others are done anew.
use std::sync::Arc;

use serde_json::Value;

use crate::ids::StepId;
use crate::workflow::graph::contains;
use crate::workflow::plan::Plan;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Work;
use crate::workflow::template::larger_than;

/// The label that names the run that a fork was made from.
pub const LABEL: &str = "fork_of";

/// A step that another run has done.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried {
    pub step: StepId,
    pub status: StepStatus,
    pub result: Arc<StepResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    #[error("the run has no step `{0}`")]
    NoStep(String),
    #[error("the workflow has no input `{0}`")]
    NoInput(String),
    #[error("the inputs are larger than the {0} bytes allowed")]
    TooLarge(usize),
}

impl Run {
    /// What to run, and what of it is done: all that succeeded but `from`, what comes after it, and gates, which are
    /// asked again; without `from` nothing. `inputs` replace those of the same name.
    pub fn fork(
        &self,
        from: Option<&str>,
        inputs: &serde_json::Map<String, Value>,
    ) -> Result<(Plan, Vec<Carried>), ForkError> {
        let mut changed = self.plan().inputs().clone();
        for (name, value) in inputs {
            let slot = changed.get_mut(name).ok_or_else(|| ForkError::NoInput(name.clone()))?;
            *slot = value.clone();
        }
        if larger_than(&changed, self.plan().max_value_bytes()) {
            return Err(ForkError::TooLarge(self.plan().max_value_bytes()));
        }
        let plan = self.plan().forked(self.id(), changed);
        let Some(from) = from else { return Ok((plan, Vec::new())) };
        let first = StepId::new(from).ok().and_then(|id| self.plan().place(&id));
        let first = first.ok_or_else(|| ForkError::NoStep(from.to_owned()))?;
        let ancestors = plan.graph().ancestors();
        let is_carried = |place: usize| place != first && !contains(&ancestors[place], first);
        let planned = self.steps().take(plan.steps().len());
        let carried = planned.enumerate().filter_map(|(place, (step, state))| {
            let status = state.status();
            // Who said yes to that run was not asked about this one.
            let is_asked_again = step.work == Work::Gate {};
            let good = state.is_satisfied() && status != StepStatus::Skipped && !is_asked_again;
            let result = state.result().filter(|_| good && is_carried(place))?;
            Some(Carried { step: step.id.clone(), status, result: Arc::clone(result) })
        });
        Ok((plan, carried.collect()))
    }
}
