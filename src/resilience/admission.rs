//! Who is let in when a child has much to do: the more urgent a request, the fuller the queue may be for it.
//!
//! ```text
//! 0 ............ 1/2 ........................ 7/8 .... 15/16 .... cap
//! background     |                            |        |          |
//! normal                                      |        |          |
//! critical                                             |          |
//! system (and it is handled before what waits)                    |
//! ```

/// How urgent the requests through one door are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// What can be done later or left out: teaching, the list of new entries, reports.
    Background,
    Normal,
    /// What others wait for: the journal, the log, signatures, the figures that alerts are made of.
    Critical,
    /// What steers: stopping, pausing, health. Few and short; they overtake everything that waits.
    System,
}

impl Priority {
    pub const ALL: [Priority; 4] = [Priority::Background, Priority::Normal, Priority::Critical, Priority::System];

    /// How many requests there may be with one of this kind, in a queue of `cap`; at least one.
    pub fn bound(self, cap: usize) -> usize {
        let kept_free = match self {
            Priority::Background => cap / 2,
            Priority::Normal => cap / 8,
            Priority::Critical => cap / 16,
            Priority::System => 0,
        };
        cap - kept_free
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_leaves_room_for_the_more_urgent_ones() {
        let bounds = |cap| Priority::ALL.map(|priority| priority.bound(cap));
        assert_eq!(bounds(256), [128, 224, 240, 256]);
        assert_eq!(bounds(8), [4, 7, 8, 8]);
        assert_eq!(bounds(1), [1, 1, 1, 1]);
        assert_eq!(bounds(0), [0; 4]);
    }

    proptest! {
        #[test]
        fn bounds_grow_with_urgency_and_never_pass_the_cap(cap in 1usize..1 << 40) {
            let bounds = Priority::ALL.map(|priority| priority.bound(cap));
            prop_assert!(bounds.is_sorted() && bounds[0] >= 1 && bounds[3] == cap);
        }
    }
}
