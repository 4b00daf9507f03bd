//! The engine as a part of the tree: the supervisor of the runs, and before it the orchestrator, which goes with it.
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::actors::child::{ChildOptions, ChildSpec};
use crate::actors::child_runs::Family;
use crate::actors::dynamic::DynamicSpec;
use crate::actors::dynamic::handle::Dynamic;
use crate::actors::engine_doors::Doors;
use crate::actors::home::Home;
use crate::actors::keys_in_flight::KeysInFlight;
use crate::actors::orchestrator::{Nursery, Orchestrator};
use crate::actors::run_news::RunNews;
use crate::actors::runner::Setting;
use crate::actors::runs::Runs;
use crate::actors::slot::Ref;
use crate::actors::supervisor::SupervisorSpec;
use crate::ids::NodeId;
use crate::recovery::action::Restraint;
use crate::resilience::restart::Intensity;
use crate::resilience::roster::Strategy;
use crate::workflow::advance::MOST_LOST;

const MINUTE: Duration = Duration::from_secs(60);
/// How often in a row a run may fail before it alone is given up: later than a step fails that breaks its run each time.
const MOST_FAILURES: u32 = MOST_LOST + 2;

/// What an engine is made of.
pub struct EngineSpec {
    pub node: NodeId,
    pub doors: Doors,
    pub restraint: watch::Receiver<Restraint>,
    /// Runs that may be open at once.
    pub most: usize,
    /// The threads that runs live on.
    pub homes: Vec<Arc<Home>>,
    /// The rules of the orchestrator's life.
    pub options: ChildOptions,
}

/// When the supervisor of the runs is started anew, the orchestrator is too, and takes the runs up again.
pub fn engine(spec: EngineSpec) -> (SupervisorSpec, Ref<Orchestrator>) {
    let EngineSpec { node, doors, restraint, most, homes, options } = spec;
    // The failure of many at once, by a fault that all of them meet, is no storm of one.
    let intensity = Intensity { max: 20 + most / 10, within: MINUTE };
    let of_runs = DynamicSpec { name: "runs".to_owned(), intensity, most_failures: MOST_FAILURES, most };
    let (runs_spec, crowd) = Dynamic::new(of_runs);
    let news = RunNews::new(doors.feed.clone());
    let family = Arc::new(OnceLock::new());
    let store = doors.clone();
    let setting = Setting { node, doors, news, restraint, family: Arc::clone(&family) };
    let nursery = Nursery { setting, crowd, homes: homes.into(), runs: Runs::default(), keys: KeysInFlight::default() };
    let (spec, orchestrator) = ChildSpec::worker("orchestrator", options, move || Orchestrator::new(nursery.clone()));
    family.get_or_init(|| Family::new(&orchestrator, store));
    let supervisor = SupervisorSpec {
        name: "engine".to_owned(),
        strategy: Strategy::RestForOne,
        intensity: Intensity { max: 10, within: MINUTE },
        children: vec![runs_spec, spec],
    };
    (supervisor, orchestrator)
}
