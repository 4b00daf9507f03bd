//! Why a call to the service failed.
use crate::api::problem::Problem;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the service is not reachable at {url} ({detail}); start it with `dsmil serve`")]
    NotReachable { url: String, detail: String },
    #[error("the connection to {url} broke off; the outcome is unknown: {detail}")]
    BrokenOff { url: String, detail: String },
    #[error("{0}")]
    Refused(Problem),
    #[error("{url} answered {status}, which is not an answer of this service; is the address right?")]
    NotOurs { url: String, status: u16 },
    #[error("the answer of {url} cannot be read: is the service of another version?")]
    NotUnderstood { url: String, source: serde_json::Error },
}

impl ClientError {
    pub fn is_not_reachable(&self) -> bool {
        matches!(self, ClientError::NotReachable { .. })
    }

    /// No token, a wrong one, or one without the right.
    pub fn is_not_permitted(&self) -> bool {
        matches!(self, ClientError::Refused(Problem { status: 401 | 403, .. }))
    }

    /// Certainly not executed, and the same call may do better soon.
    pub fn is_passing(&self) -> bool {
        matches!(self, ClientError::Refused(Problem { status: 503, .. }))
    }
}
