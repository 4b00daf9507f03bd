//! JSON shapes of the HTTP API, nothing else.
