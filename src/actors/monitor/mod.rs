//! Monitors: each looks at one thing at a fixed pace, tells the alert handler what it read and watchers what changed.
pub mod agents;
pub mod changes;
pub mod entries;
pub mod host;
pub mod service;
