//! HTTP client of the service, shared by the command line and the terminal dashboard.
