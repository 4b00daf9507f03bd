//! What the auditor's tasks have come to, for its handlers and for each other to see.
use crate::messages::auditor::AuditError;
use crate::messages::auditor::SignedHead;
use crate::messages::auditor::VerifierKey;

#[derive(Debug, Clone)]
pub(super) struct View {
    pub state: State,
    pub head: Option<SignedHead>,
    pub key: Option<VerifierKey>,
    /// Entries in the log on disk, signed or not.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Serving,
    /// Something is not there: the TPM, the database, the disk. It is tried again.
    Waiting(String),
    /// Disk and database contradict each other: nothing is signed until somebody has looked.
    Refused(String),
}

impl View {
    pub fn new() -> Self {
        View { state: State::Waiting("the log is being opened".to_owned()), head: None, key: None, size: 0 }
    }

    pub fn refusal(&self) -> Option<AuditError> {
        match &self.state {
            State::Refused(detail) => Some(AuditError::NotSigned { detail: detail.clone() }),
            State::Serving | State::Waiting(_) => None,
        }
    }

    pub fn head(&self) -> Result<SignedHead, AuditError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        self.head.clone().ok_or_else(|| self.nothing_yet())
    }

    pub fn key(&self) -> Result<VerifierKey, AuditError> {
        self.key.clone().ok_or_else(|| self.nothing_yet())
    }

    fn nothing_yet(&self) -> AuditError {
        let detail = match &self.state {
            State::Serving => "nothing was signed yet".to_owned(),
            State::Waiting(reason) | State::Refused(reason) => reason.clone(),
        };
        AuditError::NotSigned { detail }
    }

    pub fn sealed(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.size)
    }
}
