//! dsmil: a control plane for a secured Linux host.
//!
//! The map, from the core outwards; arrows of import point up this list only (`tests/it/tidy.rs`).
//!
//! * core, decisions without actors, IO or clock: [`ids`], [`toolkit`], [`agents`], [`workflow`], [`resilience`],
//!   [`audit`], [`judges`], [`access`], [`alerts`], [`recovery`], [`feed`], [`schedules`], [`api`]; and [`clock`], the one place that reads time
//! * adapters, one outside thing each: [`config`], [`logfiles`], [`artifacts`], [`secrets`], [`host`], [`webhook`], [`store`], [`tpm`], [`tools`], [`telemetry`]
//!   [`audit`], [`judges`], [`learning`], [`api`]; and [`clock`], the one place that reads time
//! * adapters, one outside thing each: [`config`], [`store`], [`tpm`], [`tools`], [`artifacts`], [`telemetry`]
//! * adapters, one outside thing each: [`config`], [`logfiles`], [`store`], [`tpm`], [`tools`], [`telemetry`]
//! * actors: [`messages`] (what they say), [`actors`] (who they are)
//! * edges: [`web`], [`client`], [`cli`], [`broker`]
//! * [`app`] builds every part; the only file that knows them all
pub mod access;
pub mod actors;
pub mod agents;
pub mod alerts;
pub mod api;
pub mod app;
pub mod artifacts;
pub mod audit;
pub mod broker;
pub mod cli;
pub mod client;
pub mod clock;
pub mod compute;
pub mod config;
pub mod feed;
pub mod host;
pub mod ids;
pub mod judges;
pub mod learning;
pub mod logfiles;
pub mod messages;
pub mod recovery;
pub mod resilience;
pub mod schedules;
pub mod secrets;
pub mod store;
pub mod telemetry;
pub mod toolkit;
pub mod tools;
pub mod tpm;
pub mod web;
pub mod webhook;
pub mod workflow;
