//! How a command ends when it does not end well: a message, and the exit status of the contract.
use std::error::Error;
use std::process::ExitCode;

use crate::client::error::ClientError;
use crate::client::find::FindError;
use crate::config::fault::ConfigErrors;
use crate::toolkit::causes::with_causes;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The asked-for thing failed.
    Failed = 1,
    WrongUsage = 2,
    NotReachable = 3,
    NotPermitted = 4,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn failed(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Failed, message: message.into() }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Failure { exit: Exit::WrongUsage, message: message.into() }
    }

    /// The error with all its causes.
    pub fn of(error: &dyn Error) -> Self {
        Failure::failed(with_causes(error))
    }

    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = if error.is_not_reachable() {
            Exit::NotReachable
        } else if error.is_not_permitted() {
            Exit::NotPermitted
        } else {
            Exit::Failed
        };
        Failure { exit, message: with_causes(&error) }
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        let exit = if error.is_not_permitted() { Exit::NotPermitted } else { Exit::WrongUsage };
        Failure { exit, message: with_causes(&error) }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Failure::usage(errors.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::problem::Problem;

    #[test]
    fn each_failure_has_the_exit_status_of_the_contract() {
        let problem = |status| {
            let (kind, title) = ("about:blank".to_owned(), "no".to_owned());
            ClientError::Refused(Problem {
                kind,
                title,
                status,
                detail: String::new(),
                errors: vec![],
                retry_after_s: None,
            })
        };
        let shut = ClientError::NotReachable { url: "http://127.0.0.1:1".into(), detail: "refused".into() };
        for (error, exit) in
            [(shut, 3), (problem(401), 4), (problem(403), 4), (problem(404), 1), (problem(422), 1), (problem(503), 1)]
        {
            let failure = Failure::from(error);
            assert_eq!(failure.exit as u8, exit, "{}", failure.message);
        }
        assert_eq!(Failure::from(FindError::Url { url: "x".into() }).exit as u8, 2);
    }
}
