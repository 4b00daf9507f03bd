//! From readings to alerts: rules as data, and the book of what is pending, firing or resolved. No IO, no clock.
//!
//! ```text
//! inactive --breach--> pending --held for `for`--> firing --back beyond `clear`--> resolved
//!                         `--no breach--> inactive      `--ack--> firing, acknowledged
//! ```
//! The words are those of Prometheus and its Alertmanager, which operators know.
pub mod book;
pub mod metric;
pub mod rule;
