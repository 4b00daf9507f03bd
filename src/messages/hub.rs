//! What can be asked of the hub, which keeps what watchers may see; and what it sends to each of them.
use actix::{Message, Recipient};

use crate::feed::protocol::Close;

/// A watcher comes; answers its number. It says hello next.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct Join {
    pub to: Recipient<Deliver>,
}

/// A watcher said something.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Said {
    pub watcher: u64,
    pub text: String,
}

/// A watcher has read everything up to this ping.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct HasRead {
    pub watcher: u64,
    pub batch: u64,
}

/// A watcher goes.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Leave {
    pub watcher: u64,
}

/// For a watcher's connection.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Deliver {
    /// Text frames in this order, then a ping with this number.
    Batch { frames: Vec<String>, ping: u64 },
    /// The end, with its reason.
    Close(Close),
}
