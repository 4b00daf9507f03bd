//! Guests of a supervisor: actors whose future somebody else polls, such as the session of a WebSocket, which is the
//! body of an HTTP answer. They cannot be started or ended from outside, but they are counted, seen, and told to go.
use actix::Message;
use tokio::sync::oneshot;

/// Asks for a place; `Overloaded`: there are as many as may be.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Stay")]
pub struct Adopt {
    /// What it is; its name is this with a number, such as `session-17`.
    pub kind: &'static str,
    /// Whose it is, to be shown beside its name.
    pub label: String,
}

/// A place among the children of a supervisor. Dropping it tells the supervisor, once, that the guest has gone.
pub struct Stay {
    name: String,
    go: oneshot::Receiver<()>,
    _place: Box<dyn Send>,
}

impl Stay {
    /// `place` is dropped with the stay.
    pub fn new(name: String, go: oneshot::Receiver<()>, place: Box<dyn Send>) -> Self {
        Stay { name, go, _place: place }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ready when the guest is told to go, or nobody is left who could tell it. To be asked for once.
    pub fn told_to_go(&mut self) -> impl Future<Output = ()> + 'static {
        let (_, never) = oneshot::channel();
        let go = std::mem::replace(&mut self.go, never);
        async move { go.await.unwrap_or_default() }
    }
}
