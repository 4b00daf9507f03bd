//! PostgreSQL: the only place with SQL.
//!
//! `cluster` runs a server of our own; `database` is how to reach one; `migrations` and `partitions` shape it;
//! `writer` commits in groups (`batch` plans a group, `append` is its statement); the other files are one table each.
pub mod alerts;
pub mod append;
pub mod audit_entries;
pub mod batch;
pub mod cluster;
pub mod database;
pub mod error;
pub mod journal;
pub mod metrics;
pub mod migrations;
pub mod neighbours;
pub mod nodes;
pub mod partitions;
mod retention;
pub mod run_list;
pub mod run_tags;
pub mod runs;
pub mod schedules;
pub mod schema;
pub mod status;
pub mod submissions;
pub mod tokens;
pub mod writer;
