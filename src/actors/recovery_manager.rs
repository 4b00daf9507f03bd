//! Carries out what the recovery plan says: agents with fewer places, runs that wait; and takes it back.
//!
//! What is in force is one value that agents and engine follow, also those that are started anew. It starts with
//! everything as it should be, so that a measure does not outlive the manager that took it.
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Handler};
use serde_json::json;
use tokio::sync::watch;
use tracing::{trace, warn};

use crate::actors::context::Ctx;
use crate::actors::scribe::{Deed, Scribe};
use crate::clock;
use crate::feed::channel::Channel;
use crate::messages::alerts::Called;
use crate::messages::events::{Event, Publish};
use crate::messages::orchestrator::RECOVERY;
use crate::messages::port::Port;
use crate::recovery::action::{Action, Restraint, Step};
use crate::recovery::plan::{Mode, Plan};

/// The ports of the recovery manager.
#[derive(Clone)]
pub struct Doors {
    pub restrain: Arc<watch::Sender<Restraint>>,
    pub feed: Port<Publish>,
    pub scribe: Scribe,
}

pub struct RecoveryManager {
    mode: Mode,
    plan: Plan,
    doors: Doors,
}

impl RecoveryManager {
    pub fn new(mode: Mode, hold: Duration, doors: Doors) -> Self {
        RecoveryManager { mode, plan: Plan::new(hold), doors }
    }

    /// Puts into force what the plan has come to.
    fn restrain(&self) {
        if self.mode == Mode::On {
            self.doors.restrain.send_replace(self.plan.restraint());
        }
    }

    fn tell(&self, step: Step, why: &str) {
        let (action, told) = match step {
            Step::SetShare(share) => {
                ("reduce-agent-concurrency", format!("agents use {:.0} % of their places", share * 100.0))
            }
            Step::HoldBack => ("pause-non-critical", "runs that are not critical wait".to_owned()),
            Step::LetGo => ("pause-non-critical", "runs that were made to wait go on".to_owned()),
        };
        let outcome = if self.mode == Mode::On { "ok" } else { "dry_run" };
        warn!(action, "{told} ({why})");
        let doors = self.doors.clone();
        let subject = format!("action/{action}");
        let detail = Some(format!("{told}; {why}"));
        let at = clock::wall();
        let what = if self.mode == Mode::On { "measure" } else { "measure not taken" };
        let gives_way = !matches!(step, Step::LetGo) && !matches!(step, Step::SetShare(share) if share >= 1.0);
        let severity = if gives_way { "warning" } else { "info" };
        let value = json!({ "kind": "action", "what": what, "subject": action, "detail": format!("{told} ({why})"),
            "severity": severity, "at": at });
        self.publish(Event { channel: Channel::Events, id: String::new(), at, value: Some(Arc::new(value)) });
        actix_rt::spawn(async move {
            doors.scribe.note(Deed { actor: RECOVERY.to_owned(), op: "action.taken", subject, outcome, detail }).await;
        });
    }

    fn publish(&self, event: Event) {
        if let Err(refusal) = self.doors.feed.try_tell(Publish(vec![event])) {
            trace!("watchers are not told of an action: {refusal}");
        }
    }

    fn show(&self) {
        let Restraint { share, hold_back } = self.plan.restraint();
        let value = json!({ "mode": mode_name(self.mode), "share": share, "holding_back": hold_back });
        let event = Event {
            channel: Channel::Service,
            id: "recovery".to_owned(),
            at: clock::wall(),
            value: Some(Arc::new(value)),
        };
        self.publish(event);
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::On => "on",
        Mode::DryRun => "dry_run",
        Mode::Off => "off",
    }
}

impl Actor for RecoveryManager {
    type Context = Ctx<Self>;

    fn started(&mut self, _: &mut Ctx<Self>) {
        self.restrain();
        self.show();
    }
}

impl Handler<Called> for RecoveryManager {
    type Result = ();

    fn handle(&mut self, Called(called): Called, _: &mut Ctx<Self>) {
        // Said each time, since the hub may be a new one; it tells nobody what is not new.
        self.show();
        if self.mode == Mode::Off {
            return;
        }
        let actions: Vec<Action> = called.iter().map(|(action, _)| *action).collect();
        let steps = self.plan.advise(&actions, clock::now());
        if steps.is_empty() {
            return;
        }
        let mut rules: Vec<&str> = called.iter().map(|(_, rule)| rule.as_str()).collect();
        rules.dedup();
        let why = match rules.is_empty() {
            true => "nothing calls for it any more".to_owned(),
            false => format!("called for by {}", rules.join(", ")),
        };
        self.restrain();
        steps.into_iter().for_each(|step| self.tell(step, &why));
        self.show();
    }
}
