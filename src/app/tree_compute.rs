//! The worker pool's branch of the tree: the workers, each on a thread of its own, and who hands out the work.
use crate::actors::child::{ChildOptions, ChildSpec, Place};
use crate::actors::compute::pool::Pool;
use crate::actors::compute::worker::Worker;
use crate::actors::home::{Home, HomeError};
use crate::actors::slot::Ref;
use crate::actors::supervisor::SupervisorSpec;
use crate::app::tree::{options, supervisor};
use crate::config::compute::ComputeConfig;
use crate::resilience::roster::Strategy;

pub fn compute(config: &ComputeConfig) -> Result<(SupervisorSpec, Ref<Pool>), HomeError> {
    let mut children = Vec::new();
    let mut ports = Vec::new();
    for number in 0..config.workers {
        // The pool gives it one batch at a time, and sees to it that work is done again.
        let rules = ChildOptions { cap: 2, breaker: None, ..ChildOptions::at(Place::Dedicated) };
        let (spec, worker) = ChildSpec::worker(format!("worker-{number}").as_str(), rules, Worker::default);
        children.push(spec);
        ports.push(worker.port());
    }
    let home = Home::start("compute")?;
    // A full queue is no sign of sickness.
    let rules = ChildOptions { cap: config.queue, breaker: None, ..options(&home) };
    let (spec, pool) = ChildSpec::worker("pool", rules, move || Pool::new(ports.clone()));
    children.push(spec);
    Ok((supervisor("compute", Strategy::OneForOne, 20, children), pool))
}
