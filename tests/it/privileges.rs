//! Who the service becomes when root starts it, and what the broker answers.
