//! What a reply means for the breaker of the child that gave it.
//!
//! Every reply type says so itself, here in one list: a child that answers "you asked for nonsense" works, and a
//! breaker must not open because its callers are wrong.
use crate::ids::RunId;
use crate::learning::rank::Ranking;
use crate::messages::access::{AccessError, Created};
use crate::messages::agent::{AgentStats, StepNotDone};
use crate::messages::alerts::Readings;
use crate::messages::auditor::AuditError;
use crate::messages::auditor::SignedHead;
use crate::messages::auditor::VerifierKey;
use crate::messages::compute::{ComputeError, PoolStatus};
use crate::messages::guests::Stay;
use crate::messages::learner::LearnError;
use crate::messages::learner::LearnerStatus;
use crate::messages::orchestrator::EngineStatus;
use crate::messages::orchestrator::StartError;
use crate::messages::scheduler::{ScheduleError, View};
use crate::messages::signer::LogKey;
use crate::messages::signer::SignError;
use crate::messages::supervision::{Intervened, Node};
use crate::messages::tpm::TpmAddress;
use crate::schedules::record::Firing;
use crate::toolkit::cx::Quote;
use crate::toolkit::cx::Signed;
use crate::toolkit::output::Status;
use crate::workflow::record::Appended;
use crate::workflow::record::RunPage;
use crate::workflow::record::StoreError;
use crate::workflow::record::StoreStatus;
use crate::workflow::result::StepResult;
use crate::workflow::step::Choice;

/// How one request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    Ok,
    Failed,
    /// Says nothing about the child's health: the caller's mistake, or the fault of something behind the child.
    Ignored,
}

/// Whoever looks at a child each second must not hide its failures between two looks, nor close its breaker by a look.
const A_LOOK: Class = Class::Ignored;

/// What every reply of a supervised child must tell. The default is for replies that can only be good.
pub trait Outcome {
    /// Of replies that all count alike.
    const CLASS: Class = Class::Ok;

    fn class(&self) -> Class {
        Self::CLASS
    }

    /// The reply of a child that was told to fail, for an exercise. None: it gives no reply at all.
    fn drilled() -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

/// What the error side of a reply must tell.
pub trait ErrorClass {
    fn class(&self) -> Class;

    fn drilled() -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

impl<T: Outcome, E: ErrorClass> Outcome for Result<T, E> {
    /// A look stays a look though it may fail.
    const CLASS: Class = T::CLASS;

    fn class(&self) -> Class {
        match self {
            Ok(reply) => reply.class(),
            Err(error) => error.class(),
        }
    }

    fn drilled() -> Option<Self> {
        E::drilled().map(Err)
    }
}

impl<T> Outcome for Option<T> {}
impl<T> Outcome for Vec<T> {}
impl<T> Outcome for std::ops::Range<T> {}
impl<T> Outcome for tokio::sync::oneshot::Receiver<T> {}
impl Outcome for () {}
impl Outcome for bool {}
impl Outcome for u32 {}
impl Outcome for u64 {}
impl Outcome for i64 {}
impl Outcome for usize {}
impl Outcome for String {}
impl Outcome for RunId {}
impl Outcome for Created {}
impl Outcome for Appended {}
impl Outcome for RunPage {}
impl Outcome for StoreStatus {}
impl Outcome for VerifierKey {}
impl Outcome for LogKey {}
impl Outcome for TpmAddress {}
impl Outcome for Signed {}
impl Outcome for Quote {}
impl Outcome for Intervened {}
impl Outcome for Ranking {}
impl Outcome for Stay {}
impl Outcome for View {}
impl Outcome for (View, Firing) {}

impl Outcome for AgentStats {
    const CLASS: Class = A_LOOK;
}

impl Outcome for EngineStatus {
    const CLASS: Class = A_LOOK;
}

impl Outcome for LearnerStatus {
    const CLASS: Class = A_LOOK;
}

impl Outcome for PoolStatus {
    const CLASS: Class = A_LOOK;
}

impl Outcome for Readings {
    const CLASS: Class = A_LOOK;
}

impl Outcome for SignedHead {
    const CLASS: Class = A_LOOK;
}

impl Outcome for Node {
    const CLASS: Class = A_LOOK;
}

/// That nobody was chosen is an answer.
impl Outcome for Result<Choice, String> {}

/// A tool that failed on good input counts against its agent; a host that lacks the facility does not.
impl Outcome for StepResult {
    fn class(&self) -> Class {
        let bad_input = self.output.reason.as_ref().is_some_and(|reason| reason.code == "invalid_input");
        match self.output.status {
            Status::Ok | Status::Degraded => Class::Ok,
            Status::Failed | Status::TimedOut if !bad_input => Class::Failed,
            Status::Failed | Status::TimedOut | Status::Unavailable | Status::Denied | Status::Aborted => {
                Class::Ignored
            }
        }
    }
}

impl ErrorClass for StepNotDone {
    fn class(&self) -> Class {
        match self {
            StepNotDone::ToolPanicked { .. } | StepNotDone::Drill => Class::Failed,
        }
    }

    fn drilled() -> Option<Self> {
        Some(StepNotDone::Drill)
    }
}

impl ErrorClass for SignError {
    fn class(&self) -> Class {
        match self {
            SignError::Refused { .. } | SignError::Hung { .. } | SignError::Gone { .. } => Class::Failed,
            SignError::Invalid { .. } | SignError::Busy => Class::Ignored,
        }
    }
}

impl ErrorClass for StoreError {
    fn class(&self) -> Class {
        match self {
            StoreError::Unreachable { .. } | StoreError::Unknown { .. } => Class::Failed,
            // the database answers: withdrawing the store would take the reads away and mend nothing
            StoreError::Refused { .. }
            | StoreError::Fenced { .. }
            | StoreError::KeyTaken { .. }
            | StoreError::Damaged { .. } => Class::Ignored,
        }
    }
}

impl ErrorClass for LearnError {
    fn class(&self) -> Class {
        match self {
            // prediction needs no spool: a full disk must not take it away; the second is the database's failure
            LearnError::Spool { .. } | LearnError::Past { .. } => Class::Ignored,
        }
    }
}

impl ErrorClass for ComputeError {
    fn class(&self) -> Class {
        match self {
            ComputeError::Full => Class::Ignored,
            // the workers' failure, which their supervisor has seen
            ComputeError::Lost => Class::Failed,
        }
    }
}

impl ErrorClass for AuditError {
    fn class(&self) -> Class {
        match self {
            AuditError::Disk { .. } => Class::Failed,
            // the signer has a breaker of its own; the auditor goes on recording without it
            AuditError::BeyondEnd { .. } | AuditError::NotSigned { .. } => Class::Ignored,
        }
    }
}

impl ErrorClass for AccessError {
    fn class(&self) -> Class {
        match self {
            AccessError::NoRandom { .. } => Class::Failed,
            // the store has a breaker of its own; the rest is the caller's
            AccessError::NotLoaded
            | AccessError::Store(_)
            | AccessError::NoSuchToken(_)
            | AccessError::LastAdmin(_)
            | AccessError::NotAdmitted => Class::Ignored,
        }
    }
}

impl ErrorClass for ScheduleError {
    /// The store has a breaker of its own; the rest is the caller's.
    fn class(&self) -> Class {
        Class::Ignored
    }
}

impl ErrorClass for StartError {
    fn class(&self) -> Class {
        match self {
            // the store's failure, counted there
            StartError::NotDurable { .. } | StartError::TooMany { .. } => Class::Ignored,
            // the caller's: he sent the same twice
            StartError::KeyInFlight | StartError::KeyTaken { .. } => Class::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::toolkit::output::Output;
    use crate::toolkit::output::Reason;

    fn step(status: Status, code: &str) -> Result<StepResult, StepNotDone> {
        let output = Output { status, data: Value::Null, evidence: vec![], reason: Some(Reason::new(code, "x", "y")) };
        Ok(StepResult { output, findings: vec![], duration_ms: 1.0, usage: None })
    }

    #[test]
    fn a_step_counts_by_its_status_and_bad_input_does_not_count() {
        let table = [
            (Status::Ok, "", Class::Ok),
            (Status::Degraded, "no_facility", Class::Ok),
            (Status::Failed, "io", Class::Failed),
            (Status::TimedOut, "timeout", Class::Failed),
            (Status::Failed, "invalid_input", Class::Ignored),
            (Status::Unavailable, "not_built", Class::Ignored),
            (Status::Denied, "no_privilege", Class::Ignored),
            (Status::Aborted, "cancelled", Class::Ignored),
        ];
        for (status, code, class) in table {
            assert_eq!(step(status, code).class(), class, "{status:?} {code}");
        }
        let drilled: Result<StepResult, StepNotDone> = Err(StepNotDone::Drill);
        assert_eq!(drilled.class(), Class::Failed);
    }

    #[test]
    fn looks_and_orders_say_nothing_about_health() {
        assert_eq!(AgentStats::default().class(), Class::Ignored);
        assert_eq!(PoolStatus::default().class(), Class::Ignored);
        let looks = [<Result<SignedHead, AuditError> as Outcome>::CLASS, Node::CLASS];
        assert_eq!(looks, [Class::Ignored; 2], "a drill leaves those alone");
        assert_eq!(<Result<StepResult, StepNotDone> as Outcome>::CLASS, Class::Ok);
    }

    #[test]
    fn errors_of_the_caller_are_ignored_and_errors_of_the_child_fail() {
        let detail = || "d".to_owned();
        let unreachable: Result<u64, StoreError> = Err(StoreError::Unreachable { detail: detail() });
        let refused: Result<u64, StoreError> = Err(StoreError::Refused { detail: detail() });
        let gone: Result<(), SignError> = Err(SignError::Gone { detail: detail() });
        let invalid: Result<(), SignError> = Err(SignError::Invalid { detail: detail() });
        let disk: Result<(), AuditError> = Err(AuditError::Disk { detail: detail() });
        let unsigned: Result<(), AuditError> = Err(AuditError::NotSigned { detail: detail() });
        assert_eq!([unreachable.class(), refused.class()], [Class::Failed, Class::Ignored]);
        assert_eq!([gone.class(), invalid.class()], [Class::Failed, Class::Ignored]);
        assert_eq!([disk.class(), unsigned.class()], [Class::Failed, Class::Ignored]);
        assert_eq!(Ok::<(), SignError>(()).class(), Class::Ok);
    }
}
