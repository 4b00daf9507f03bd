//! What becomes of a firing while earlier runs of its schedule are open.
use crate::schedules::rules::Overlap;

/// How many firings wait for the end of a run at most.
pub const MOST_QUEUED: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Start,
    /// It is not carried out, for this reason.
    Skip(String),
    /// Decide again when a run has ended.
    Wait,
    /// The same, and cancel the open runs.
    CancelAndWait,
}

/// About the oldest of the firings that wait: `open` runs of the schedule have not ended, `behind` it wait later ones.
pub fn decide(overlap: Overlap, open: usize, behind: usize) -> Decision {
    match overlap {
        // It would be cancelled at once by the one behind it.
        Overlap::CancelPrevious if behind > 0 => Decision::Skip("a later firing replaced it".to_owned()),
        _ if open == 0 => Decision::Start,
        Overlap::Allow => Decision::Start,
        Overlap::Skip => Decision::Skip("the last run is still open".to_owned()),
        Overlap::Queue => Decision::Wait,
        Overlap::CancelPrevious => Decision::CancelAndWait,
    }
}

/// About a new firing behind `waiting` others: why it may not wait, if so.
pub fn turned_away(overlap: Overlap, waiting: usize) -> Option<String> {
    (overlap == Overlap::Queue && waiting >= MOST_QUEUED)
        .then(|| format!("{MOST_QUEUED} firings wait already for the open run"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_rule_has_its_answer_to_an_open_run() {
        let skip = |why: &str| Decision::Skip(why.to_owned());
        for (overlap, open, behind, expected) in [
            (Overlap::Skip, 0, 0, Decision::Start),
            (Overlap::Skip, 1, 0, skip("the last run is still open")),
            (Overlap::Queue, 0, 3, Decision::Start),
            (Overlap::Queue, 1, 3, Decision::Wait),
            (Overlap::Allow, 7, 3, Decision::Start),
            (Overlap::CancelPrevious, 0, 0, Decision::Start),
            (Overlap::CancelPrevious, 1, 0, Decision::CancelAndWait),
            (Overlap::CancelPrevious, 1, 2, skip("a later firing replaced it")),
            (Overlap::CancelPrevious, 0, 1, skip("a later firing replaced it")),
        ] {
            assert_eq!(decide(overlap, open, behind), expected, "{overlap:?} {open} {behind}");
        }
        assert_eq!(turned_away(Overlap::Queue, MOST_QUEUED - 1), None);
        assert!(turned_away(Overlap::Queue, MOST_QUEUED).is_some());
        assert_eq!(turned_away(Overlap::Skip, MOST_QUEUED), None);
    }

    proptest! {
        /// Only `allow` ever has two runs at a time, and nothing waits for nothing.
        #[test]
        fn one_at_a_time_unless_allowed(open in 0..5usize, behind in 0..5usize, which in 0..4usize) {
            let overlap = Overlap::ALL[which];
            let decision = decide(overlap, open, behind);
            if decision == Decision::Start {
                prop_assert!(open == 0 || overlap == Overlap::Allow);
            }
            if matches!(decision, Decision::Wait | Decision::CancelAndWait) {
                prop_assert!(open > 0);
            }
        }
    }
}
