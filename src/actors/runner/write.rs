//! Makes durable what the state machine of a run decides: one append after the other.
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{ActorContext, ActorFutureExt, AsyncContext};
use tracing::{info, warn};

use crate::actors::context::Ctx;
use crate::actors::engine_doors::Confirmed;
use crate::actors::open_run::{OpenRun, left_alone};
use crate::actors::runner::Runner;
use crate::resilience::backoff::Backoff;
use crate::workflow::record::StoreError;

/// Between two tries of an append that the database did not take.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));

impl Runner {
    pub(super) fn write(&mut self, ctx: &mut Ctx<Self>) {
        let Some(open) = &mut self.open else { return };
        let Some(append) = open.next_append() else { return };
        open.writing = true;
        let doors = self.setting.doors.clone();
        let rows = append.rows.len();
        let writing = async move { doors.confirm(append).await };
        ctx.spawn(writing.into_actor(self).map(move |confirmed, runner, ctx| runner.written(rows, confirmed, ctx)));
    }

    fn written(&mut self, rows: usize, confirmed: Confirmed, ctx: &mut Ctx<Self>) {
        let id = self.id();
        let Some(open) = &mut self.open else { return };
        let fault = match confirmed {
            Ok(appended) => {
                open.writing = false;
                if std::mem::take(&mut self.in_vain) > 0 {
                    info!(run.id = %id, "run {id} goes on: the database has its events");
                }
                let effects = open.confirmed(rows, &appended);
                self.berth.progress.send_modify(|progress| progress.changes += 1);
                self.setting.doors.teach.hand_over(open.take_lessons());
                self.tell_watchers_soon(ctx);
                for effect in effects {
                    self.perform(effect, ctx);
                }
                return self.write(ctx);
            }
            Err(fault) => fault,
        };
        let detail = fault.to_string();
        match fault {
            StoreError::Fenced { .. } => {
                return ctx.fail(format!("another service writes for node {}", self.setting.node));
            }
            StoreError::Unknown { .. } => open.doubt(),
            StoreError::KeyTaken { run, same } => {
                open.give_way(run, same);
                return ctx.stop();
            }
            // A run that nobody was promised and that is certainly not stored is simply refused.
            StoreError::Unreachable { .. } | StoreError::Refused { .. } if open.refuse(&detail) => return ctx.stop(),
            StoreError::Refused { .. } => return self.compare_journal(detail, ctx),
            StoreError::Unreachable { .. } | StoreError::Damaged { .. } => {}
        }
        self.write_again(&detail, ctx);
    }

    /// Later and later, and each run at a time of its own: thousands may wait for the same database.
    fn write_again(&mut self, detail: &str, ctx: &mut Ctx<Self>) {
        if self.in_vain == 0 {
            let id = self.id();
            warn!(run.id = %id, "run {id} waits for the database: {detail}");
        }
        self.in_vain = self.in_vain.saturating_add(1);
        ctx.run_later(AGAIN.delay(self.in_vain, rand::random()), |runner, ctx| {
            if let Some(open) = &mut runner.open {
                open.writing = false;
            }
            runner.write(ctx);
        });
    }

    /// Rows were refused: perhaps an earlier life, whose thread was held, has written what this one does not know of.
    fn compare_journal(&mut self, detail: String, ctx: &mut Ctx<Self>) {
        let (doors, id) = (self.setting.doors.clone(), self.id());
        let reading = async move { doors.read(id).await };
        ctx.spawn(reading.into_actor(self).map(move |read, runner, ctx| {
            let first = runner.open.as_ref().and_then(OpenRun::first_waiting).map_or(usize::MAX, |seq| seq as usize);
            match read {
                Ok(Some(stored)) if stored.rows.len() > first => ctx.fail("its journal goes on without it"),
                Ok(_) => runner.write_again(&detail, ctx),
                Err(damaged) => {
                    left_alone(id, &damaged);
                    ctx.stop();
                }
            }
        }));
    }
}
