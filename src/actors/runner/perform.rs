//! Carries out what the state machine of a run decided, once it is durable.
use std::sync::Arc;

use actix::fut::WrapFuture;
use actix::{ActorContext, ActorFutureExt, AsyncContext};
use serde_json::Value;
use tracing::{error, info};

use crate::actors::child_runs::{self, ChildOrder};
use crate::actors::context::Ctx;
use crate::actors::runner::Runner;
use crate::clock;
use crate::messages::agent::RunStep;
use crate::messages::orchestrator::ChildOf;
use crate::toolkit::change::Call;
use crate::toolkit::cx::CancelFlag;
use crate::workflow::advance::{Answer, Effect, Trigger};
use crate::workflow::child::Parent;
use crate::workflow::status::RunStatus;

impl Runner {
    pub(super) fn perform(&mut self, effect: Effect, ctx: &mut Ctx<Self>) {
        let id = self.id();
        let Some(open) = &mut self.open else { return };
        match effect {
            Effect::Dispatch { step, agent, tool, attempt, input, call, timeout } => {
                let cancel = open.begin(step.clone(), attempt);
                let deadline = clock::now() + timeout;
                let order = RunStep { run: id, step: step.clone(), attempt, tool, call, input, deadline, cancel };
                let doors = self.setting.doors.clone();
                let dispatched = async move { doors.answer(&agent, order, timeout).await };
                ctx.spawn(dispatched.into_actor(self).map(move |answer, runner, ctx| {
                    if let Some(open) = &mut runner.open {
                        open.ended(&step, attempt, matches!(answer, Answer::Done(_)));
                    }
                    runner.tell(Trigger::Answer { step, attempt, answer }, ctx);
                }));
            }
            Effect::Undo { step, agent, tool, attempt, plan, timeout } => {
                let deadline = clock::now() + timeout;
                let (call, input, cancel) = (Call::Undo(plan), Arc::new(Value::Null), CancelFlag::default());
                let order = RunStep { run: id, step: step.clone(), attempt, tool, call, input, deadline, cancel };
                let doors = self.setting.doors.clone();
                let undone = async move { doors.answer(&agent, order, timeout).await };
                ctx.spawn(undone.into_actor(self).map(move |answer, runner, ctx| {
                    runner.tell(Trigger::Undone { step, attempt, answer }, ctx);
                }));
            }
            Effect::Choose { step, task, timeout } => {
                let doors = self.setting.doors.clone();
                let chosen = async move { doors.choice(&task, timeout).await };
                ctx.spawn(chosen.into_actor(self).map(move |choice, runner, ctx| {
                    runner.tell(Trigger::Chosen { step, choice }, ctx);
                }));
            }
            Effect::RunChild { step, attempt, child, plan, again } => {
                let (parent, by) = (Parent { run: id, step: step.clone() }, open.run.by().to_owned());
                let order = ChildOrder { child: ChildOf { id: child, parent }, plan, by, again };
                let (family, wished) = (self.setting.family.clone(), self.children.begin(&step, attempt));
                let ended = async move { child_runs::ended(family.get(), order, wished).await };
                ctx.spawn(ended.into_actor(self).map(move |answer, runner, ctx| {
                    runner.children.ended(&step, attempt);
                    runner.tell(Trigger::Answer { step, attempt, answer }, ctx);
                }));
            }
            Effect::HoldChildren { hold } => self.children.hold(hold),
            Effect::UndoChild { step, attempt, child } => {
                let family = self.setting.family.clone();
                let undone = async move { child_runs::undone(family.get(), child, id).await };
                ctx.spawn(undone.into_actor(self).map(move |answer, runner, ctx| {
                    runner.tell(Trigger::Undone { step, attempt, answer }, ctx);
                }));
            }
            Effect::Stop { step, attempt } => {
                open.stop(&step, attempt);
                self.children.stop(&step, attempt);
            }
            Effect::Wake { at } => {
                let wait = (at - clock::wall()).to_std().unwrap_or_default();
                let timer = ctx.run_later(wait, |runner, ctx| {
                    runner.tell(Trigger::Wake, ctx);
                });
                if let Some(replaced) = open.timer.replace(timer) {
                    ctx.cancel_future(replaced);
                }
            }
            // Somebody wished meanwhile that it goes on: then it does.
            Effect::Finished if !open.run.is_finished() => {}
            Effect::Finished => {
                let status = open.run.status();
                info!(run.id = %id, status = status.as_str(), "run {id} ended: {}", status.as_str());
                if status == RunStatus::NeedsHuman {
                    error!(run.id = %id, "what run {id} changed could not be undone: `dsmil runs show {id}` says what is left");
                }
                self.berth.note_need(status == RunStatus::NeedsHuman);
                let ended = open.shown().map(Arc::new);
                self.berth.progress.send_modify(|progress| progress.ended = ended);
                self.tell_watchers();
                ctx.stop();
            }
        }
    }
}
