//! Why a file was not written or not put back.
use std::io;
use std::path::Path;

use crate::toolkit::change::CHANGED_SINCE;
use crate::toolkit::output::{Output, Reason, Status};

/// Unless it says otherwise, nothing is changed where this is the answer.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("`{path}` {why}; fs.write writes below {root} only")]
    Outside { path: String, why: &'static str, root: String },
    #[error("{path} is {what}; only plain files with one name are written")]
    NotPlain { path: String, what: &'static str },
    #[error("{path} {detail}")]
    NotPermitted { path: String, detail: String },
    #[error("{path} is not as it was found: {detail}")]
    ChangedSince { path: String, detail: String },
    #[error("{path} has {bytes} bytes; {most} is the most that is written or replaced")]
    TooLarge { path: String, bytes: u64, most: usize },
    #[error("{path}: this kernel or file system cannot {what}")]
    NoFacility { path: String, what: &'static str },
    #[error("{path} could not be {act}: {source}")]
    Io { path: String, act: &'static str, source: io::Error },
    #[error("the plan is not one of fs.write: {detail}")]
    BadPlan { detail: String },
    #[error("{path} was written but is not as it should be: {detail}")]
    Unverified { path: String, detail: String },
    #[error("the step was stopped")]
    Stopped(Box<Output>),
    #[error("{first}; and what was begun could not be cleared away: {then}")]
    Leftover { first: Box<Refused>, then: Box<Refused> },
}

impl Refused {
    pub fn io(path: &Path, act: &'static str, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.display().to_string(), source.into());
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Refused::NotPermitted { path, detail: format!("may not be {act} by this service: {source}") }
            }
            _ => Refused::Io { path, act, source },
        }
    }

    pub fn changed(path: &Path, detail: impl Into<String>) -> Self {
        Refused::ChangedSince { path: path.display().to_string(), detail: detail.into() }
    }

    /// The first fault stands; one in clearing up after it is told with it.
    #[must_use]
    pub fn after(self, cleared: Result<(), Refused>) -> Self {
        match cleared {
            Ok(()) => self,
            Err(then) => Refused::Leftover { first: Box::new(self), then: Box::new(then) },
        }
    }

    /// The refusal as the result of a call.
    pub fn output(self) -> Output {
        let detail = self.to_string();
        let (status, code, facility) = match self {
            Refused::Outside { path, .. } => (Status::Denied, "outside_root", path),
            Refused::NotPlain { path, .. } => (Status::Denied, "not_a_plain_file", path),
            Refused::NotPermitted { path, .. } => (Status::Denied, "no_privilege", path),
            Refused::ChangedSince { path, .. } => (Status::Failed, CHANGED_SINCE, path),
            Refused::TooLarge { path, .. } => (Status::Denied, "too_large", path),
            Refused::NoFacility { path, .. } => (Status::Unavailable, "no_facility", path),
            Refused::Io { path, .. } => (Status::Failed, "io", path),
            Refused::BadPlan { .. } => (Status::Failed, "invalid_plan", "plan".to_owned()),
            Refused::Unverified { path, .. } => (Status::Failed, "not_verified", path),
            Refused::Stopped(output) => return *output,
            Refused::Leftover { first, .. } => {
                let mut output = first.output();
                if let Some(reason) = &mut output.reason {
                    reason.detail = detail;
                }
                return output;
            }
        };
        Output::without_data(status, Reason::new(code, facility, detail))
    }
}
