//! How long to wait before a restart: doubling up to a limit, with half of it left to chance.
use std::time::Duration;

/// The n-th delay is between half and all of `min(max, base * 2^(n-1))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub max: Duration,
}

impl Backoff {
    pub const fn new(base: Duration, max: Duration) -> Self {
        Backoff { base, max }
    }

    /// The delay before restart number `attempt` (from 1); `chance` is a random number in `0.0..1.0`.
    pub fn delay(&self, attempt: u32, chance: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let whole = self.base.saturating_mul(1 << doublings).min(self.max);
        let half = whole / 2;
        half + half.mul_f64(chance.clamp(0.0, 1.0))
    }

    /// Was a child that lived this long healthy enough to begin counting anew?
    pub fn forgets_after(&self, lived: Duration) -> bool {
        lived > self.max
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_double_up_to_the_limit() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let whole: Vec<u128> = (1..=6).map(|n| backoff.delay(n, 1.0).as_millis()).collect();
        assert_eq!(whole, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(50));
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn a_delay_stays_between_half_and_all(attempt in 0u32..1000, chance in 0.0f64..1.0, base in 0u64..10_000, max in 0u64..60_000) {
            let backoff = Backoff::new(Duration::from_millis(base), Duration::from_millis(max));
            let delay = backoff.delay(attempt, chance);
            prop_assert!(delay <= backoff.max);
            prop_assert!(delay >= backoff.base.min(backoff.max) / 2);
        }
    }
}
