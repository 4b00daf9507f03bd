//! What an agent's recent steps were like: counts, quantiles of the duration, share of successes.
use std::collections::VecDeque;

use crate::toolkit::output::Status;

/// How many of the newest steps the quantiles and the share are taken over.
const WINDOW: usize = 256;

/// Grows with each step, remembers the newest 256.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    done: u64,
    failed: u64,
    recent: VecDeque<(f64, Verdict)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Success,
    Failure,
    /// The host lacked the facility, or a person stopped it: says nothing about the agent.
    Neither,
}

/// A reading of [`Stats`]; null where nothing was measured yet.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Summary {
    pub done: u64,
    pub failed: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub success_rate: Option<f64>,
}

impl Stats {
    pub fn record(&mut self, duration_ms: f64, status: Status) {
        let verdict = match status {
            Status::Ok | Status::Degraded => Verdict::Success,
            Status::Failed | Status::TimedOut | Status::Denied => Verdict::Failure,
            Status::Unavailable | Status::Aborted => Verdict::Neither,
        };
        self.done += 1;
        self.failed += u64::from(verdict == Verdict::Failure);
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back((duration_ms, verdict));
    }

    pub fn summary(&self) -> Summary {
        let mut durations: Vec<f64> = self.recent.iter().map(|(ms, _)| *ms).collect();
        durations.sort_by(f64::total_cmp);
        let (mut good, mut judged) = (0_u32, 0_u32);
        for (_, verdict) in &self.recent {
            good += u32::from(*verdict == Verdict::Success);
            judged += u32::from(*verdict != Verdict::Neither);
        }
        Summary {
            done: self.done,
            failed: self.failed,
            p50_ms: quantile(&durations, 0.50),
            p95_ms: quantile(&durations, 0.95),
            success_rate: (judged > 0).then(|| f64::from(good) / f64::from(judged)),
        }
    }
}

/// The nearest-rank quantile of sorted values.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary_of(steps: impl IntoIterator<Item = (f64, Status)>) -> Summary {
        let mut stats = Stats::default();
        for (ms, status) in steps {
            stats.record(ms, status);
        }
        stats.summary()
    }

    #[test]
    fn an_agent_without_steps_has_no_figures() {
        assert_eq!(summary_of([]), Summary::default());
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let summary = summary_of((1..=100).map(|ms| (f64::from(ms), Status::Ok)));
        assert_eq!((summary.p50_ms, summary.p95_ms), (Some(50.0), Some(95.0)));
    }

    #[test]
    fn what_the_host_lacks_is_not_held_against_the_agent() {
        let summary = summary_of([(1.0, Status::Ok), (1.0, Status::Unavailable), (1.0, Status::Failed)]);
        assert_eq!((summary.done, summary.failed, summary.success_rate), (3, 1, Some(0.5)));
    }

    #[test]
    fn old_steps_leave_the_window() {
        let steps = (0..WINDOW + 10).map(|n| (1.0, if n < 10 { Status::Failed } else { Status::Ok }));
        let summary = summary_of(steps);
        assert_eq!((summary.failed, summary.success_rate), (10, Some(1.0)));
    }
}
