//! Who may do what: roles, tokens and browser sessions, as rules without IO.
//!
//! ```text
//! token text ──hash──> Book ──> Principal (who, with which role) ──> role of the route: may or may not
//! session cookie ──hash──^
//! ```
pub mod book;
pub mod role;
pub mod token;
