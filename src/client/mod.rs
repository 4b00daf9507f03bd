//! The client of the HTTP API: `find` tells where the service is, `http` carries a request, `calls` lists what to ask.
pub mod calls;
pub mod error;
pub mod find;
pub mod http;
