//! Breaker, back-off and restart window: pure, the time is an argument.
