//! The live feed without its transport: what is known per channel, and what each watcher has yet to be sent.
//!
//! A watcher holds a cursor per channel, nothing else: what changed since is found by sequence number, so a slow
//! watcher costs no memory and skips what has been overtaken. `docs/feed.md` describes the protocol.
pub mod channel;
pub mod protocol;
pub mod state;
pub mod watcher;
