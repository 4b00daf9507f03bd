//! Who waits for whom: the edges that a mode implies or a dag states, checked to have no cycle.
use std::collections::HashMap;

use crate::ids::StepId;
use crate::workflow::plan::Mode;
use crate::workflow::step::Step;

/// Edges by the place of a step in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    pub index: HashMap<StepId, usize>,
    pub needs: Vec<Vec<usize>>,
    pub dependents: Vec<Vec<usize>>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    #[error("two steps have the id `{0}`")]
    Duplicate(StepId),
    #[error("step `{step}` needs `{need}`, which is not a step of this workflow")]
    Unknown { step: StepId, need: StepId },
    #[error("steps need each other in a circle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
}

impl Graph {
    pub fn new(mode: Mode, steps: &[Step]) -> Result<Self, GraphError> {
        let mut index = HashMap::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            if index.insert(step.id.clone(), at).is_some() {
                return Err(GraphError::Duplicate(step.id.clone()));
            }
        }
        let mut needs = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            needs.push(match mode {
                Mode::Parallel => Vec::new(),
                Mode::Sequential | Mode::Pipeline => at.checked_sub(1).into_iter().collect(),
                Mode::Dag => {
                    let mut of_step = step
                        .needs
                        .iter()
                        .map(|need| {
                            index
                                .get(need)
                                .copied()
                                .ok_or_else(|| GraphError::Unknown { step: step.id.clone(), need: need.clone() })
                        })
                        .collect::<Result<Vec<_>, _>>()?;
                    of_step.sort_unstable();
                    of_step.dedup();
                    of_step
                }
            });
        }
        if let Some(cycle) = cycle(&needs) {
            let name = |at: &usize| steps.get(*at).map_or_else(String::new, |step| step.id.to_string());
            return Err(GraphError::Cycle(cycle.iter().map(name).collect()));
        }
        let mut dependents = vec![Vec::new(); steps.len()];
        for (at, of_step) in needs.iter().enumerate() {
            for need in of_step {
                dependents[*need].push(at);
            }
        }
        Ok(Graph { index, needs, dependents })
    }

    /// For each step all steps that it waits for, directly or through others, as one bit each.
    pub fn ancestors(&self) -> Vec<Vec<u64>> {
        let words = self.needs.len().div_ceil(64);
        let mut sets = vec![vec![0_u64; words]; self.needs.len()];
        for at in topological(&self.needs) {
            let mut set = vec![0_u64; words];
            for need in &self.needs[at] {
                set.iter_mut().zip(&sets[*need]).for_each(|(to, from)| *to |= from);
                set[need / 64] |= 1 << (need % 64);
            }
            sets[at] = set;
        }
        sets
    }
}

/// Is `step` in a set that `ancestors` made?
pub fn contains(set: &[u64], step: usize) -> bool {
    set.get(step / 64).is_some_and(|word| word & (1 << (step % 64)) != 0)
}

/// An order in which each step comes after what it needs, as far as there is one: steps in a circle, and those that
/// wait for them, are missing from it.
fn topological(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut dependents = vec![Vec::new(); needs.len()];
    let mut unmet: Vec<_> = needs.iter().map(Vec::len).collect();
    for (at, of_step) in needs.iter().enumerate() {
        of_step.iter().for_each(|need| dependents[*need].push(at));
    }
    let mut order: Vec<_> = (0..needs.len()).filter(|at| unmet[*at] == 0).collect();
    let mut next = 0;
    while let Some(at) = order.get(next).copied() {
        next += 1;
        for dependent in &dependents[at] {
            unmet[*dependent] -= 1;
            if unmet[*dependent] == 0 {
                order.push(*dependent);
            }
        }
    }
    order
}

/// A circle of needs, from a step back to itself.
pub fn cycle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut left = vec![true; needs.len()];
    topological(needs).into_iter().for_each(|at| left[at] = false);
    // Each step that is left has a need that is left too, so following needs comes back to a step seen before.
    let mut at = left.iter().position(|left| *left)?;
    let mut path = Vec::new();
    let mut seen_at = vec![None; needs.len()];
    while seen_at[at].is_none() {
        seen_at[at] = Some(path.len());
        path.push(at);
        at = needs[at].iter().copied().find(|need| left[*need])?;
    }
    let mut circle = path.split_off(seen_at[at]?);
    circle.push(at);
    Some(circle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_named_from_a_step_back_to_itself() {
        assert_eq!(cycle(&[vec![], vec![0], vec![1, 0]]), None);
        assert_eq!(cycle(&[vec![0]]), Some(vec![0, 0]));
        assert_eq!(cycle(&[vec![], vec![0, 3], vec![1], vec![2], vec![1]]), Some(vec![1, 3, 2, 1]));
    }
}
