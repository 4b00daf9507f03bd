//! How a run went, in numbers: kept as counts, so that no question needs a walk over the steps.
use crate::workflow::status::RunStatus;
use crate::workflow::status::StepStatus;

/// Settled steps by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub succeeded: usize,
    pub degraded: usize,
    pub unavailable: usize,
    pub failed: usize,
    pub denied: usize,
    pub skipped: usize,
    pub cancelled: usize,
    pub timed_out: usize,
}

impl Counts {
    pub fn add(&mut self, status: StepStatus) {
        if let Some(count) = self.count(status) {
            *count += 1;
        }
    }

    /// The step is done again.
    pub fn take(&mut self, status: StepStatus) {
        if let Some(count) = self.count(status) {
            *count -= 1;
        }
    }

    fn count(&mut self, status: StepStatus) -> Option<&mut usize> {
        match status {
            // What a step did it did, though it was undone later.
            StepStatus::Succeeded | StepStatus::Undone => Some(&mut self.succeeded),
            StepStatus::Degraded => Some(&mut self.degraded),
            StepStatus::Unavailable => Some(&mut self.unavailable),
            StepStatus::Failed => Some(&mut self.failed),
            StepStatus::Denied => Some(&mut self.denied),
            StepStatus::Skipped => Some(&mut self.skipped),
            StepStatus::Cancelled => Some(&mut self.cancelled),
            StepStatus::TimedOut => Some(&mut self.timed_out),
            StepStatus::Pending | StepStatus::Running | StepStatus::WaitingApproval => None,
        }
    }

    fn successes(&self) -> usize {
        self.succeeded + self.degraded
    }

    pub fn failures(&self) -> usize {
        self.failed + self.denied + self.timed_out
    }

    /// Of the steps that could be judged, the share that succeeded; none: no step could.
    pub fn success_rate(&self) -> Option<f64> {
        share(self.successes(), self.successes() + self.failures())
    }

    /// Of what was to be assessed and did not fail, the share that the host could assess.
    pub fn coverage(&self) -> Option<f64> {
        share(self.successes(), self.successes() + self.unavailable)
    }

    /// How a run ends that was neither cancelled nor out of time. A step that was stopped although nobody cancelled
    /// the run did not do its work: such a run is not called succeeded.
    pub fn verdict(&self) -> RunStatus {
        if self.failures() > 0 {
            RunStatus::Failed
        } else if self.cancelled > 0 {
            RunStatus::Cancelled
        } else {
            RunStatus::Succeeded
        }
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    // Counts are bounded by the number of steps, far below what a float holds exactly.
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ended: &[StepStatus], success_rate: Option<f64>, coverage: Option<f64>, verdict: RunStatus) {
        let mut counts = Counts::default();
        ended.iter().for_each(|status| counts.add(*status));
        assert_eq!((counts.success_rate(), counts.coverage(), counts.verdict()), (success_rate, coverage, verdict));
    }

    #[test]
    fn skipped_unavailable_and_cancelled_steps_do_not_lower_the_success_rate() {
        use StepStatus::{Cancelled, Degraded, Denied, Failed, Skipped, Succeeded, TimedOut, Unavailable};
        check(&[], None, None, RunStatus::Succeeded);
        check(&[Succeeded, Skipped], Some(1.0), Some(1.0), RunStatus::Succeeded);
        check(&[Unavailable], None, Some(0.0), RunStatus::Succeeded);
        check(&[Succeeded, Degraded, Unavailable, Skipped], Some(1.0), Some(2.0 / 3.0), RunStatus::Succeeded);
        check(&[Succeeded, Failed, Denied, TimedOut], Some(0.25), Some(1.0), RunStatus::Failed);
        check(&[Succeeded, Cancelled], Some(1.0), Some(1.0), RunStatus::Cancelled);
        check(&[Failed], Some(0.0), None, RunStatus::Failed);
    }
}
