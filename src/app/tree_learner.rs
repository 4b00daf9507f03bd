//! The learner's branch of the tree: its part of the database, and itself.
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::actors::child::{ChildOptions, ChildSpec, Place, Readiness};
use crate::actors::home::{Home, HomeError};
use crate::actors::learner::{Knowledge, Learner, LearnerPorts};
use crate::actors::learning_store::LearningStore;
use crate::actors::slot::Ref;
use crate::actors::supervisor::SupervisorSpec;
use crate::app::parts::{Parts, PartsError};
use crate::app::tree::{READY_WITHIN, options, outside, supervisor};
use crate::learning::card::cards;
use crate::learning::embed::Embedder;
use crate::learning::rank::Rules;
use crate::logfiles::spool::Bounds;
use crate::resilience::roster::Strategy;
use crate::store::database::Readers;

/// Connections of the learner.
pub const CONNECTIONS: usize = 4;

pub struct Learning {
    pub spec: SupervisorSpec,
    pub store: Ref<LearningStore>,
    pub learner: Ref<Learner>,
}

/// What the learner knows from the start: the model, the agents and the tools.
pub fn knowledge(parts: &Parts) -> Result<Knowledge, PartsError> {
    let embedder = Embedder::shipped()?;
    let specs = || parts.toolbox.specs();
    Ok(Knowledge {
        cards: cards(&parts.catalog, &embedder),
        what: specs().map(|spec| (spec.id.clone(), spec.what.clone())).collect(),
        built: specs().filter(|spec| spec.built).map(|spec| spec.id.clone()).collect::<BTreeSet<_>>(),
        facts: specs().map(|spec| (spec.id.clone(), spec.into())).collect(),
        rules: Rules::default(),
        embedder,
    })
}

pub fn learner(parts: &Parts, knowledge: Knowledge, pool: &Readers) -> Result<Learning, HomeError> {
    let home = Home::start("learner")?;
    let (node, pool) = (parts.node.clone(), pool.clone());
    let rules = ChildOptions { cap: 512, breaker: outside(), ..options(&home) };
    let make = move || LearningStore::new(pool.clone(), node.clone());
    let (store_spec, store) = ChildSpec::worker("learning-store", rules, make);
    let ports = LearnerPorts { store: store.port(), near: store.port() };
    let (dir, knowledge) = (parts.data_dir.join("learner/spool"), Arc::new(knowledge));
    let rules = ChildOptions {
        readiness: Readiness::WhenReady { within: READY_WITHIN },
        cap: 4096,
        breaker: outside(),
        ..ChildOptions::at(Place::Shared(Arc::clone(&home)))
    };
    let make = move || Learner::new(dir.clone(), Bounds::default(), Arc::clone(&knowledge), ports.clone());
    let (spec, learner) = ChildSpec::worker("learner", rules, make);
    let spec = supervisor("learning", Strategy::OneForOne, 10, vec![store_spec, spec]);
    Ok(Learning { spec, store, learner })
}
