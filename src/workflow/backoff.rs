//! How long to wait before another attempt. The random share comes from the names, so that the core needs no
//! randomness: the same attempt of the same run always waits as long.
use std::time::Duration;

use crate::ids::RunId;
use crate::ids::StepId;
use crate::workflow::step::Jitter;
use crate::workflow::step::Retry;

const FIRST_REFUSAL: Duration = Duration::from_millis(100);
const DOUBLINGS: u32 = 5;

/// The wait, in whole milliseconds, before the attempt that follows `failures` failed ones (at least one); `share` is
/// 0 to 1.
pub fn delay(retry: &Retry, failures: u32, share: f64) -> Duration {
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let longest = retry.max.as_secs_f64();
    let whole = (retry.initial.as_secs_f64() * retry.factor.powi(exponent)).min(longest);
    let seconds = match retry.jitter {
        Jitter::Full => whole * share.clamp(0.0, 1.0),
        Jitter::None => whole,
    };
    // A cast of floats saturates, and the longest delay a document may ask for is a year.
    Duration::from_millis((seconds * 1_000.0).round() as u64)
}

/// The wait after the `refusals`-th refusal in a row: at least what the agent's door asks for, and longer each time,
/// so that a crowd before a busy agent does not fill the journal.
pub fn after_refusal(retry_after: Duration, refusals: u32) -> Duration {
    retry_after.max(FIRST_REFUSAL * 2_u32.pow(refusals.saturating_sub(1).min(DOUBLINGS)))
}

/// A number from 0 to 1 that looks random: FNV-1a over the names, then mixed.
pub fn share(run: RunId, step: &StepId, attempt: u32) -> f64 {
    let bytes = run.0.as_bytes().iter().chain(step.as_str().as_bytes()).copied().chain(attempt.to_le_bytes());
    let mut hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    f64::from((hash >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn retry(jitter: Jitter) -> Retry {
        Retry { max: Duration::from_secs(1), jitter, ..Retry::default() }
    }

    #[test]
    fn the_delay_grows_by_the_factor_up_to_the_longest() {
        let delays: Vec<_> = (1..6).map(|n| delay(&retry(Jitter::None), n, 0.3).as_millis()).collect();
        assert_eq!(delays, [200, 400, 800, 1_000, 1_000]);
        assert_eq!(delay(&retry(Jitter::None), u32::MAX, 0.3), Duration::from_secs(1), "no overflow");
        assert_eq!(delay(&retry(Jitter::Full), 2, 0.5).as_millis(), 200);
    }

    #[test]
    fn refusals_wait_longer_each_time_and_at_least_as_asked() {
        let short = Duration::from_millis(10);
        let waits: Vec<_> = [1, 2, 3, 6, 7, 99].map(|n| after_refusal(short, n).as_millis()).into();
        assert_eq!(waits, [100, 200, 400, 3_200, 3_200, 3_200]);
        assert_eq!(after_refusal(Duration::from_secs(60), 1), Duration::from_secs(60));
    }

    #[test]
    fn shares_are_stable_and_spread() {
        let run = RunId(Uuid::from_u128(7));
        let step = StepId::new("a").expect("valid");
        assert!((share(run, &step, 1) - share(run, &step, 1)).abs() < f64::EPSILON);
        let shares: Vec<_> = (0..1_000).map(|attempt| share(run, &step, attempt)).collect();
        let mean = shares.iter().sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "mean {mean}");
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
    }
}
