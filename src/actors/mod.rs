//! The actors and their supervisors.
