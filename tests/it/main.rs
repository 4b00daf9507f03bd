//! All integration tests in one binary, one file per feature.
// `cfg(test)` tells the lints that the plumbing of tests may unwrap, too.
#[cfg(test)]
mod access;
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod compute;
#[cfg(test)]
mod config;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod drills;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fencing;
#[cfg(test)]
mod journey;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod learner;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod many_runs;
#[cfg(test)]
mod playbook_steps;
#[cfg(test)]
mod privileges;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod roster;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod service_manager;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod steering;
#[cfg(test)]
mod store;
#[cfg(test)]
mod store_actors;
#[cfg(test)]
mod store_cluster;
#[cfg(test)]
mod store_faults;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod submissions;
#[cfg(test)]
mod supervision;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tpm;
