//! An agenda: who has something due, and when. Each has one moment at most; the next one is found without looking at
//! the others.
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

#[derive(Debug, Clone, Default)]
pub struct Agenda {
    moments: BTreeSet<(Instant, usize)>,
    of: HashMap<usize, Instant>,
}

impl Agenda {
    /// Replaces the moment of `id`; none: nothing is due any more.
    pub fn set(&mut self, id: usize, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.of.insert(id, at),
            None => self.of.remove(&id),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.moments.remove(&(before, id));
        }
        self.moments.extend(at.map(|at| (at, id)));
    }

    /// The next moment of all.
    pub fn next(&self) -> Option<Instant> {
        self.moments.first().map(|(at, _)| *at)
    }

    /// Takes out the first whose moment has come.
    pub fn take_due(&mut self, now: Instant) -> Option<usize> {
        let (_, id) = self.moments.first().copied().filter(|(at, _)| *at <= now)?;
        self.set(id, None);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_is_due_once_at_its_last_moment_and_in_order() {
        #[expect(clippy::disallowed_methods, reason = "the core has no clock; the test needs some instant to begin at")]
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut agenda = Agenda::default();
        for (id, second) in [(1, 5), (2, 3), (3, 4), (2, 6), (4, 1), (1, 5)] {
            agenda.set(id, Some(at(second)));
        }
        agenda.set(4, None);
        agenda.set(9, None);
        assert_eq!((agenda.next(), agenda.take_due(at(3))), (Some(at(4)), None));
        let due: Vec<usize> = std::iter::from_fn(|| agenda.take_due(at(9))).collect();
        assert_eq!(due, [3, 1, 2]);
        assert!(agenda.of.is_empty() && agenda.next().is_none());
    }
}
