//! Refusals and failures as RFC 9457 problems. The only file that knows status codes.
use std::fmt;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::ResponseError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::access::role::Role;
use crate::api::problem::Fault;
use crate::api::problem::MEDIA_TYPE;
use crate::api::problem::Problem;
use crate::ids::RunId;
use crate::messages::access::AccessError;
use crate::messages::auditor::AuditError;
use crate::messages::learner::LearnError;
use crate::messages::orchestrator::StartError;
use crate::messages::port::AskError;
use crate::messages::scheduler::ScheduleError;
use crate::messages::signer::SignError;
use crate::workflow::record::StoreError;
use crate::workflow::submission::IdempotencyKey;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the body is not JSON: line {line}, column {column}: {detail}")]
    NotJson { line: usize, column: usize, detail: String },
    #[error("{0}")]
    BadRequest(String),
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body did not arrive within {} s", .within.as_secs())]
    TooSlow { within: Duration },
    #[error("the workflow has {}", if .0.len() == 1 { "a fault".to_owned() } else { format!("{} faults", .0.len()) })]
    Faults(Vec<Fault>),
    #[error("the schedule has {}", if .0.len() == 1 { "a fault".to_owned() } else { format!("{} faults", .0.len()) })]
    BadSchedule(Vec<Fault>),
    #[error(
        "a valid token is needed: `Authorization: Bearer TOKEN`; the first one is in `admin.token` in the data directory until `dsmil token create` has made another"
    )]
    NoToken,
    #[error("this needs the role {needed}; the token presented has the role {has}")]
    NotAllowed { has: Role, needed: Role },
    #[error("a session is good only for pages of this very address: the Origin header is missing or another")]
    ForeignOrigin,
    #[error("the service is being started: its tokens have not been read yet")]
    NotYet,
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("this service does not answer for the host `{host}`; use localhost or the address it listens on")]
    WrongHost { host: String },
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("the Idempotency-Key `{key}` has started run {run}, from another body: a new submission needs a new key")]
    KeyReused { key: IdempotencyKey, run: RunId },
    #[error("this address answers {allow} only")]
    WrongMethod { allow: String },
    #[error(
        "{limit} live feeds are open, which is as many as may be (`web.max_sessions`); come back when one has ended"
    )]
    TooManySessions { limit: usize },
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Learn(#[from] LearnError),
    #[error("a stored record cannot be read: {0}")]
    Unreadable(String),
    #[error("the request met a fault in the service; its log tells more")]
    Panicked,
}

/// What is told of an error beside its text.
struct Verdict {
    status: StatusCode,
    /// The last part of the type URI.
    kind: &'static str,
    title: &'static str,
    retry_after: Option<Duration>,
}

/// Time after which a refusal that names none may be tried again.
const SOON: Duration = Duration::from_secs(1);

impl ApiError {
    fn verdict(&self) -> Verdict {
        let (status, kind, title) = match self {
            ApiError::NotJson { .. } => (StatusCode::BAD_REQUEST, "not-json", "The body is not JSON"),
            ApiError::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad-request", "The request is not valid"),
            ApiError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            ApiError::TooSlow { .. } => (StatusCode::REQUEST_TIMEOUT, "too-slow", "The body came too slowly"),
            ApiError::Faults(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-workflow", "The workflow is not valid"),
            ApiError::BadSchedule(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-schedule", "The schedule is not valid")
            }
            ApiError::NoToken => (StatusCode::UNAUTHORIZED, "no-token", "A token is needed"),
            ApiError::NotAllowed { .. } => (StatusCode::FORBIDDEN, "not-allowed", "The role does not suffice"),
            ApiError::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign-origin", "Wrong origin"),
            ApiError::NotYet => return later("starting", "The service is being started"),
            ApiError::Access(cause) => return of_access(cause),
            ApiError::WrongHost { .. } => (StatusCode::MISDIRECTED_REQUEST, "wrong-host", "Wrong host name"),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            ApiError::Conflict(_) => (StatusCode::CONFLICT, "conflict", "Not in this state"),
            ApiError::KeyReused { .. } | ApiError::Start(StartError::KeyTaken { .. }) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The Idempotency-Key was used for another body",
            ),
            ApiError::Start(StartError::KeyInFlight) => return in_flight(),
            ApiError::Schedule(cause) => return of_schedule(cause),
            ApiError::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "Wrong method"),
            ApiError::TooManySessions { .. } => return later("too-many-sessions", "Too many live feeds are open"),
            ApiError::Ask(cause) => return of_ask(cause),
            ApiError::Start(StartError::NotDurable { .. }) => return later("not-durable", "It was not made durable"),
            ApiError::Start(StartError::TooMany { .. }) => return later("too-many-runs", "Too many runs are open"),
            ApiError::Store(StoreError::Refused { .. }) | ApiError::Unreadable(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "store", "The database failed")
            }
            ApiError::Store(_) => return later("store", "The database is not available"),
            ApiError::Audit(AuditError::BeyondEnd { .. }) => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            ApiError::Audit(_) => return later("audit", "The audit log is not available"),
            ApiError::Learn(_) => return later("learner", "The learner is not available"),
            ApiError::Sign(_) => return later("tpm", "The TPM is not available"),
            ApiError::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "fault", "The service failed"),
        };
        Verdict { status, kind, title, retry_after: None }
    }

    fn problem(&self) -> Problem {
        let Verdict { status, kind, title, retry_after } = self.verdict();
        let errors = match self {
            ApiError::Faults(faults) | ApiError::BadSchedule(faults) => faults.clone(),
            _ => Vec::new(),
        };
        Problem {
            kind: format!("urn:dsmil:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            errors,
            retry_after_s: retry_after.map(whole_seconds),
        }
    }
}

fn later(kind: &'static str, title: &'static str) -> Verdict {
    Verdict { status: StatusCode::SERVICE_UNAVAILABLE, kind, title, retry_after: Some(SOON) }
}

/// The first request with the key is not settled yet.
fn in_flight() -> Verdict {
    let (kind, title) = ("idempotency-key-in-flight", "The first submission is being stored");
    Verdict { status: StatusCode::CONFLICT, kind, title, retry_after: Some(SOON) }
}

fn of_access(cause: &AccessError) -> Verdict {
    let (status, kind, title) = match cause {
        AccessError::NotAdmitted => (StatusCode::UNAUTHORIZED, "no-token", "A token is needed"),
        AccessError::NoSuchToken(_) => (StatusCode::NOT_FOUND, "not-found", "Not found"),
        AccessError::LastAdmin(_) => (StatusCode::CONFLICT, "last-admin", "The last admin token stays"),
        AccessError::NotLoaded => return later("starting", "The service is being started"),
        AccessError::Store(_) => return later("store", "The database is not available"),
        AccessError::NoRandom { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "fault", "The service failed"),
    };
    Verdict { status, kind, title, retry_after: None }
}

fn of_schedule(cause: &ScheduleError) -> Verdict {
    let (status, kind, title) = match cause {
        ScheduleError::NoSuch(_) => (StatusCode::NOT_FOUND, "not-found", "Not found"),
        ScheduleError::NameTaken(_) => (StatusCode::CONFLICT, "name-taken", "The name is taken"),
        ScheduleError::TooMany(_) => (StatusCode::CONFLICT, "too-many-schedules", "There are too many schedules"),
        ScheduleError::NotRead => return later("starting", "The service is being started"),
        ScheduleError::Store(_) => return later("store", "The database is not available"),
        ScheduleError::NotDurable { .. } => return later("not-durable", "It was not made durable"),
    };
    Verdict { status, kind, title, retry_after: None }
}

fn of_ask(cause: &AskError) -> Verdict {
    let (status, kind, title, retry_after) = match cause {
        AskError::Unavailable { retry_after, .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "A part of the service is not available",
            Some(*retry_after),
        ),
        AskError::Overloaded => {
            (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "A part of the service has too much to do", Some(SOON))
        }
        AskError::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout", "No answer in time: outcome unknown", None),
        AskError::Lost => (StatusCode::BAD_GATEWAY, "lost", "The answer was lost: outcome unknown", None),
    };
    Verdict { status, kind, title, retry_after }
}

/// Rounded up, at least one: a caller that asks too early is refused again.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs_f64().ceil().max(1.0) as u64
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.verdict().status
    }

    fn error_response(&self) -> HttpResponse {
        let problem = self.problem();
        if self.status_code().is_server_error() {
            tracing::warn!(problem.kind, status = problem.status, "answered {}: {self}", problem.status);
        }
        let mut response = HttpResponse::build(self.status_code());
        response.content_type(MEDIA_TYPE);
        if let Some(seconds) = problem.retry_after_s {
            response.insert_header((RETRY_AFTER, seconds));
        }
        match self {
            ApiError::NoToken | ApiError::Access(AccessError::NotAdmitted) => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"dsmil\""))
            }
            ApiError::WrongMethod { allow } => response.insert_header((ALLOW, allow.as_str())),
            _ => &mut response,
        };
        response.json(problem)
    }
}

/// A part of the address or the query that is not of its type.
pub fn bad_part(cause: impl fmt::Display, _request: &HttpRequest) -> actix_web::Error {
    ApiError::BadRequest(cause.to_string()).into()
}

/// Any address that has no route.
pub async fn no_route(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::NotFound(format!("there is nothing at `{}`", request.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: impl Into<ApiError>, status: u16, retry_after: Option<&str>) {
        let error = error.into();
        let response = error.error_response();
        assert_eq!(response.status(), status, "{error}");
        let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().expect("ASCII").to_owned());
        assert_eq!(header.as_deref(), retry_after, "{error}");
        assert_eq!(response.headers().get("content-type").expect("is set"), MEDIA_TYPE);
    }

    #[test]
    fn each_failure_to_ask_has_its_own_answer() {
        let shut = |ms| AskError::Unavailable { retry_after: Duration::from_millis(ms), reason: "open".into() };
        check(shut(1_200), 503, Some("2"));
        check(shut(0), 503, Some("1"));
        check(AskError::Overloaded, 503, Some("1"));
        check(AskError::Timeout, 504, None);
        check(AskError::Lost, 502, None);
        check(StartError::NotDurable { detail: "database down".into() }, 503, Some("1"));
        check(ApiError::TooManySessions { limit: 2 }, 503, Some("1"));
        check(ApiError::Panicked, 500, None);
    }

    #[test]
    fn an_unknown_outcome_is_called_so() {
        for cause in [AskError::Timeout, AskError::Lost] {
            let problem = ApiError::from(cause).problem();
            assert!(problem.title.contains("outcome unknown"), "{problem:?}");
        }
    }

    #[test]
    fn a_problem_lists_all_faults() {
        let fault = |pointer: &str| Fault { pointer: pointer.into(), detail: "unknown agent `X`".into() };
        let problem = ApiError::Faults(vec![fault("/steps/0/agent"), fault("/steps/3/agent")]).problem();
        assert_eq!(problem.status, 422);
        assert_eq!(problem.errors.len(), 2);
    }
}
