//! Learning from what agents did: text becomes a vector (`wordpiece`, `embed`), past runs near a task become a ranking
//! of the agents (`rank`), and a step that ended becomes a lesson (`lesson`).
//!
//! ```text
//! step ended -> lesson -> ... stored with its vector ... -> neighbours of a task --rank--> who should do it
//!                                        an agent's description (card) ------------^
//! ```
pub mod batch;
pub mod card;
pub mod embed;
pub mod lesson;
pub mod rank;
pub mod stats;
pub mod wordpiece;
pub mod words;
