//! Faults on purpose, kept in one life of a child: they end with it.
use std::time::Duration;

use crate::messages::supervision::Fault;

/// The faults that a life has yet to suffer.
#[derive(Debug, Default)]
pub(super) struct Drill {
    panic: bool,
    stall: Option<Duration>,
    slow: (u32, Duration),
    fail: u32,
}

/// What befalls one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ordeal {
    Fail,
    /// Its reply comes so much later.
    Slow(Duration),
}

impl Drill {
    /// A further fault of the same kind takes the place of the earlier one.
    pub fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Panic => self.panic = true,
            Fault::Stall { time } => self.stall = Some(time),
            Fault::Slow { by, calls } => self.slow = (calls, by),
            Fault::Fail { calls } => self.fail = calls,
        }
    }

    /// To be called within the poll of the child, where its own faults happen.
    #[expect(clippy::disallowed_methods, reason = "a drill shows what becomes of a child that holds its thread")]
    pub fn suffer(&mut self, path: &str) {
        assert!(!self.panic, "drill: {path} was told to panic");
        if let Some(time) = self.stall.take() {
            std::thread::sleep(time);
        }
    }

    pub fn next(&mut self) -> Option<Ordeal> {
        if let Some(left) = self.fail.checked_sub(1) {
            self.fail = left;
            return Some(Ordeal::Fail);
        }
        let left = self.slow.0.checked_sub(1)?;
        self.slow.0 = left;
        Some(Ordeal::Slow(self.slow.1))
    }
}
