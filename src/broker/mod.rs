//! The privileged half of the service: typed requests only.
//!
//! ```text
//! dsmil serve (root)
//!   |- spawns: dsmil broker (root), one end of a socket pair as its standard input
//!   `- becomes the system user dsmil, keeps the other end
//! ```
//! The broker lives exactly as long as the service: it ends when the socket closes, and signals meant to stop it are
//! not delivered, so that an orderly stop of the service can still ask it. It trusts nobody: requests are an enum, a
//! frame has a largest size, and what does not parse is refused. So far it only tells that it is there.
pub mod handle;
pub mod privileges;
pub mod protocol;
pub mod server;
