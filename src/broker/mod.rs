//! The privileged half of the service: typed requests only.
