//! How busy a child keeps its thread: how often, of the last 64 looks, it was found at work.

/// The last looks, the newest in the lowest bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Busy {
    looks: u64,
    count: u32,
}

/// How many looks are remembered.
const MOST: u32 = u64::BITS;

impl Busy {
    pub fn look(&mut self, at_work: bool) {
        self.looks = self.looks << 1 | u64::from(at_work);
        self.count = (self.count + 1).min(MOST);
    }

    /// From 0 to 1; none before the first look.
    pub fn share(&self) -> Option<f64> {
        (self.count > 0).then(|| f64::from(self.looks.count_ones()) / f64::from(self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_last_64_looks() {
        let mut busy = Busy::default();
        assert_eq!(busy.share(), None);
        busy.look(true);
        assert_eq!(busy.share(), Some(1.0));
        (0..3).for_each(|_| busy.look(false));
        assert_eq!(busy.share(), Some(0.25));
        (0..32).for_each(|_| busy.look(true));
        (0..32).for_each(|_| busy.look(false));
        assert_eq!(busy.share(), Some(0.5), "the first four are forgotten");
        (0..1000).for_each(|_| busy.look(true));
        assert_eq!(busy.share(), Some(1.0));
    }
}
