//! Runs that a run has others do: begins each through the orchestrator, passes on to it what its parent does, and comes
//! back when it has ended.
//!
//! A child is told from its journal, never from what this life of its parent did: after a crash it is found again, and
//! begun only if it was not stored.
use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use crate::actors::engine_doors::{Doors, RETRY};
use crate::actors::open_run::OpenRun;
use crate::actors::orchestrator::Orchestrator;
use crate::actors::slot::Ref;
use crate::ids::{RunId, StepId};
use crate::messages::orchestrator::{ChildOf, Progress, StartError, StartRun, SteerRun, WatchRun, Wish};
use crate::messages::port::Port;
use crate::resilience::admission::Priority;
use crate::toolkit::causes::with_causes;
use crate::toolkit::output::{Reason, Status};
use crate::workflow::advance::Answer;
use crate::workflow::child::{ChildEnd, name_of};
use crate::workflow::plan::Plan;
use crate::workflow::result::StepResult;
use crate::workflow::run::Run;

/// Between two looks for a child that is stored and not open: at first, and at most. It is being taken up, as a rule.
const LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// When a child may be begun that found no seat.
const FULL: Duration = Duration::from_secs(1);

/// The doors of the engine, for a run that has others run.
pub struct Family {
    start: Port<StartRun>,
    watch: Port<WatchRun>,
    steer: Port<SteerRun>,
    store: Doors,
}

impl Family {
    /// What runs already comes before what is only asked for.
    pub(super) fn new(orchestrator: &Ref<Orchestrator>, store: Doors) -> Self {
        let (start, watch) = (orchestrator.port_for(Priority::Critical), orchestrator.port_for(Priority::Critical));
        Family { start, watch, steer: orchestrator.port_for(Priority::System), store }
    }
}

/// What the children of one run are to do, by the attempts that they are.
#[derive(Default)]
pub(super) struct Children(HashMap<StepId, (u32, watch::Sender<Wished>)>);

/// What a child is to do at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wished {
    /// None: it was not said.
    hold: Option<bool>,
    cancel: bool,
}

impl Children {
    pub fn begin(&mut self, step: &StepId, attempt: u32) -> watch::Receiver<Wished> {
        let (sender, wished) = watch::channel(Wished::default());
        self.0.insert(step.clone(), (attempt, sender));
        wished
    }

    pub fn ended(&mut self, step: &StepId, attempt: u32) {
        if self.0.get(step).is_some_and(|(running, _)| *running == attempt) {
            self.0.remove(step);
        }
    }

    pub fn hold(&self, hold: bool) {
        self.0.values().for_each(|(_, wished)| wished.send_modify(|wished| wished.hold = Some(hold)));
    }

    pub fn stop(&self, step: &StepId, attempt: u32) {
        if let Some((_, wished)) = self.0.get(step).filter(|(running, _)| *running == attempt) {
            wished.send_modify(|wished| wished.cancel = true);
        }
    }
}

pub(super) struct ChildOrder {
    pub child: ChildOf,
    pub plan: Plan,
    pub by: String,
    /// It may have been begun before.
    pub again: bool,
}

/// Where a child is.
enum Found {
    Open(watch::Receiver<Progress>),
    Ended(Arc<Run>),
    /// Stored, and not taken up yet; or nobody can tell at present.
    Away,
    Nowhere,
}

/// How the child ended, which is begun unless it was; whatever happens on the way, as long as it takes.
pub(super) async fn ended(family: Option<&Family>, order: ChildOrder, mut wished: watch::Receiver<Wished>) -> Answer {
    let Some(family) = family else { return no_engine() };
    let (child, parent) = (order.child.id, order.child.parent.run);
    let mut pause = LOOK;
    // Its id is new: there is nothing to look for.
    let mut found = if order.again { family.find(child).await } else { Ok(Found::Nowhere) };
    loop {
        match found {
            Err(answer) => return answer,
            Ok(Found::Ended(run)) => return end_of(&run),
            Ok(Found::Open(progress)) => {
                if let Some(run) = family.follow(child, parent, progress, &mut wished).await {
                    return end_of(&run);
                }
                pause = LOOK;
            }
            Ok(Found::Nowhere) if wished.borrow().cancel => return Answer::Child(ChildEnd::of_none(child)),
            Ok(Found::Nowhere) => match family.begin(&order).await {
                Begun::Yes => pause = LOOK,
                Begun::Refused(detail) => return Answer::Refused { retry_after: FULL, detail },
                Begun::Unknown => tokio::time::sleep(RETRY).await,
            },
            Ok(Found::Away) => {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_LOOK);
            }
        }
        found = family.find(child).await;
    }
}

/// How the child stands after it was undone. One that was never begun, or has changed nothing, is so already.
pub(super) async fn undone(family: Option<&Family>, child: RunId, parent: RunId) -> Answer {
    let Some(family) = family else { return no_engine() };
    let (mut pause, mut told) = (LOOK, false);
    // Nobody wishes anything else of it.
    let mut wished = watch::channel(Wished::default()).1;
    loop {
        let found = family.find(child).await;
        match found {
            Err(answer) => return answer,
            Ok(Found::Nowhere) => return Answer::Child(ChildEnd::of_none(child)),
            Ok(Found::Ended(run)) if told || !run.has_changes() => return end_of(&run),
            Ok(Found::Away) => {}
            Ok(Found::Open(progress)) if told => {
                if let Some(run) = family.follow(child, parent, progress, &mut wished).await {
                    return end_of(&run);
                }
                pause = LOOK;
                continue;
            }
            Ok(Found::Ended(_) | Found::Open(_)) => {
                told = family.tell(child, parent, Wish::Undo).await;
                if told {
                    continue;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_LOOK);
    }
}

enum Begun {
    Yes,
    /// Certainly not.
    Refused(String),
    /// Nobody knows: it is looked for.
    Unknown,
}

impl Family {
    async fn begin(&self, ChildOrder { child, plan, by, .. }: &ChildOrder) -> Begun {
        let (plan, by, of) = (plan.clone(), by.clone(), Some(child.clone()));
        let order = StartRun { plan, by, carried: Vec::new(), submission: None, child: of };
        match self.start.ask(order).await {
            Ok(Ok(_)) => Begun::Yes,
            Ok(Err(full @ StartError::TooMany { .. })) => Begun::Refused(full.to_string()),
            Ok(Err(fault)) => {
                debug!(run.id = %child.id, "whether run {} is begun is to be seen: {fault}", child.id);
                Begun::Unknown
            }
            Err(fault) => {
                debug!(run.id = %child.id, "whether run {} is begun is to be seen: {fault}", child.id);
                Begun::Unknown
            }
        }
    }

    async fn find(&self, child: RunId) -> Result<Found, Answer> {
        match self.watch.ask(WatchRun(child)).await {
            Ok(Some(progress)) => return Ok(Found::Open(progress)),
            Ok(None) => {}
            Err(refusal) => {
                debug!(run.id = %child, "run {child} is looked for later: {refusal}");
                return Ok(Found::Away);
            }
        }
        let stored = self.store.read(child).await.map_err(|damaged| unreadable(child, &damaged))?;
        let Some(stored) = stored else { return Ok(Found::Nowhere) };
        let open = OpenRun::replay(stored).map_err(|fault| unreadable(child, &fault))?;
        Ok(if open.run.is_finished() { Found::Ended(Arc::new(open.run.clone())) } else { Found::Away })
    }

    /// The child as it ended, meanwhile doing what is wished. None: it is not open any more, and has not been seen to end.
    async fn follow(
        &self,
        child: RunId,
        parent: RunId,
        mut progress: watch::Receiver<Progress>,
        wished: &mut watch::Receiver<Wished>,
    ) -> Option<Arc<Run>> {
        let mut told = Wished::default();
        loop {
            if let Some(run) = progress.borrow_and_update().ended.clone() {
                return Some(run);
            }
            let wish = *wished.borrow_and_update();
            let next = match wish.hold.filter(|_| wish.hold != told.hold) {
                _ if wish.cancel => (!told.cancel).then_some(Wish::Cancel { undo: false }),
                Some(hold) => Some(if hold { Wish::Pause } else { Wish::Resume }),
                None => None,
            };
            let is_unheard = match next {
                Some(next) => !self.tell(child, parent, next).await,
                None => false,
            };
            if !is_unheard {
                told = wish;
            }
            let again = async { if is_unheard { tokio::time::sleep(RETRY).await } else { pending().await } };
            // Without a parent there is nobody who wishes anything.
            let other = async {
                if wished.changed().await.is_err() {
                    pending().await
                }
            };
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { return None },
                () = other => {}
                () = again => {}
            }
        }
    }

    /// False: it may not have heard. A child that cannot do so any more has.
    async fn tell(&self, child: RunId, parent: RunId, wish: Wish) -> bool {
        match self.steer.ask(SteerRun { run: child, wish, by: name_of(parent) }).await {
            Ok(Ok(_)) => true,
            Ok(Err(fault)) => {
                debug!(run.id = %child, "run {child} is told again: {fault}");
                false
            }
            Err(fault) => {
                debug!(run.id = %child, "run {child} is told again: {fault}");
                false
            }
        }
    }
}

fn end_of(run: &Run) -> Answer {
    match ChildEnd::of(run) {
        Some(end) => Answer::Child(end),
        None => failed("child_unreadable", run.id(), "it is stored as ended, and its journal does not say so"),
    }
}

fn unreadable(child: RunId, fault: &dyn std::error::Error) -> Answer {
    failed("child_unreadable", child, &with_causes(fault))
}

fn failed(code: &str, child: RunId, detail: &str) -> Answer {
    let reason = Reason::new(code, "engine", format!("run {child}: {detail}"));
    Answer::Done(StepResult::without_data(Status::Failed, reason, 0.0))
}

fn no_engine() -> Answer {
    Answer::Refused { retry_after: RETRY, detail: "the engine is being put together".to_owned() }
}
