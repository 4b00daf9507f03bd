//! Seats: how many children a dynamic supervisor may have. Who has none is not made.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counted over all lives of the supervisor: a child that outlives it for a moment still has its seat.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    taken: AtomicUsize,
}

/// Given back when dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<Seats>);

impl Seats {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Seats { most, taken: AtomicUsize::new(0) })
    }

    pub fn take(self: &Arc<Self>) -> Option<Seat> {
        let one_more = |taken| (taken < self.most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.is_ok().then(|| Seat(Arc::clone(self)))
    }

    /// A seat even if there is none left: for one who was promised it before.
    pub fn squeeze_in(self: &Arc<Self>) -> Seat {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Seat(Arc::clone(self))
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    pub fn most(&self) -> usize {
        self.most
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
