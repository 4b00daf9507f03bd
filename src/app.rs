//! Builds every part of the service, starts it and stops it.
