//! A `Port<M>`: a door to whoever answers `M`.
//!
//! It is a view on the supervisor's slot for that child: open, one probe, or shut with a retry time. It survives
//! restarts and knows no actor type; a test opens one to a closure (`Port::answering`).
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;

/// How long `ask` waits.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Certainly not executed: the address is withdrawn.
    #[error("{reason}; retry after {retry_after:.1?}")]
    Unavailable { retry_after: Duration, reason: Cow<'static, str> },
    /// Certainly not executed: the child has as many requests as it may.
    #[error("overloaded: the queue is full")]
    Overloaded,
    /// Outcome unknown: no reply in time.
    #[error("no answer in time; the outcome is unknown")]
    Timeout,
    /// Outcome unknown: the child ended before it replied.
    #[error("the answering part ended before it replied; the outcome is unknown")]
    Lost,
}

impl AskError {
    /// May the request be made again without doing it twice?
    pub fn certainly_not_executed(&self) -> bool {
        matches!(self, AskError::Unavailable { .. } | AskError::Overloaded)
    }

    /// The reason without the time that differs at each try: for those who tell the log of changes only.
    pub fn lasting_text(&self) -> String {
        match self {
            AskError::Unavailable { reason, .. } => reason.clone().into_owned(),
            other => other.to_string(),
        }
    }
}

pub type Reply<M> = Pin<Box<dyn Future<Output = Result<<M as Message>::Result, AskError>> + Send>>;

/// Anything that can carry an `M` to its handler.
pub trait Door<M: Message>: Send + Sync {
    fn ask(&self, message: M, within: Duration) -> Reply<M>;
    /// Hands the message over without waiting for its reply, if it is admitted.
    fn try_tell(&self, message: M) -> Result<(), AskError>;
}

/// A door to whoever answers `M`; cheap to clone.
pub struct Port<M: Message>(Arc<dyn Door<M>>);

impl<M: Message> Clone for Port<M> {
    fn clone(&self) -> Self {
        Port(Arc::clone(&self.0))
    }
}

impl<M> Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send + 'static,
{
    pub fn new(door: Arc<dyn Door<M>>) -> Self {
        Port(door)
    }

    /// Asks, and waits up to [`PATIENCE`].
    pub async fn ask(&self, message: M) -> Result<M::Result, AskError> {
        self.ask_within(message, PATIENCE).await
    }

    pub async fn ask_within(&self, message: M, within: Duration) -> Result<M::Result, AskError> {
        self.0.ask(message, within).await
    }

    pub fn try_tell(&self, message: M) -> Result<(), AskError> {
        self.0.try_tell(message)
    }

    /// A port to a function instead of an actor.
    pub fn answering<F>(answer: F) -> Self
    where
        F: Fn(M) -> Result<M::Result, AskError> + Send + Sync + 'static,
    {
        Port(Arc::new(Answering(answer)))
    }
}

struct Answering<F>(F);

impl<M, F> Door<M> for Answering<F>
where
    M: Message + Send + 'static,
    M::Result: Send + 'static,
    F: Fn(M) -> Result<M::Result, AskError> + Send + Sync,
{
    fn ask(&self, message: M, _within: Duration) -> Reply<M> {
        let reply = (self.0)(message);
        Box::pin(async move { reply })
    }

    fn try_tell(&self, message: M) -> Result<(), AskError> {
        (self.0)(message).map(drop)
    }
}
