//! What clocks cause: readiness and grace that ran out, breakers to try again, threads that are held, probes lost.
use std::time::Duration;

use actix::AsyncContext;

use crate::actors::context::Ctx;
use crate::actors::life::Exit;
use crate::actors::supervisor::Supervisor;
use crate::clock;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Transition;
use crate::resilience::roster::Phase;

/// How often threads and probes are looked at; everything else has its exact timer.
const TICK: Duration = Duration::from_millis(100);
/// Said of a child that shared its thread with one that holds it.
pub(super) const GIVEN_UP: &str = "its thread was given up";

impl Supervisor {
    pub(super) fn watch_every_tick(&mut self, ctx: &mut Ctx<Self>) {
        let is_root = !ctx.path().contains('/');
        ctx.run_interval(TICK, move |supervisor, ctx| {
            if is_root {
                ctx.life().tree.beat();
            }
            for index in 0..supervisor.entries.len() {
                supervisor.watch(index, ctx);
            }
            supervisor.advance(ctx);
        });
    }

    fn watch(&mut self, index: usize, ctx: &mut Ctx<Self>) {
        let entry = &mut self.entries[index];
        let Some(life) = &entry.life else { return };
        entry.busy.look(life.is_at_work());
        if let Some(reason) = entry.stalled(self.spec.children[index].stall) {
            entry.kill(&reason, clock::now());
            self.move_home(index, ctx);
            return self.ended(index, Exit::Killed(reason), ctx);
        }
        if entry.generation != entry.home_generation() {
            return self.follow_home(index, GIVEN_UP, ctx);
        }
        if let Some(reason) = entry.not_begun(self.spec.children[index].stall) {
            self.move_home(index, ctx);
            return self.follow_home(index, &reason, ctx);
        }
        let lost = entry.breaker.as_mut().is_some_and(|breaker| {
            let limit = breaker.options().probe_timeout;
            entry.kid.probe_out_for().is_some_and(|out| out > limit) && breaker.broke(clock::now())
        });
        if lost {
            self.breaker_moved(index, ctx);
        }
    }

    /// Gives up the thread that a child holds or that is gone. Those who live there too follow at their next watch.
    /// Also while all are stopped: the next life of this supervisor needs a thread that moves.
    pub(super) fn move_home(&mut self, index: usize, ctx: &mut Ctx<Self>) {
        let entry = &self.entries[index];
        let Some(Err(error)) = entry.kid.home().map(|home| home.move_from(entry.generation)) else { return };
        self.give_up(error.to_string(), ctx);
    }

    /// The thread is held by another: not this child's fault, so that nothing counts.
    fn follow_home(&mut self, index: usize, reason: &str, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        let leaving = matches!(self.roster.phase(index), Phase::Leaving { .. });
        let entry = &mut self.entries[index];
        entry.kill(reason, now);
        entry.bury();
        entry.last_exit = Some(reason.to_owned());
        self.say(index, Transition::Exited { reason: reason.to_owned() }, ctx);
        if leaving {
            return self.roster.left(index);
        }
        self.entries[index].kid.shut(Some(now), ChildState::Restarting, "restarting");
        for other in self.roster.fell(index, now) {
            self.entries[other].kid.shut(Some(now), ChildState::Restarting, "restarting");
        }
    }

    /// Carries out every deadline that has passed.
    pub(super) fn clocks(&mut self, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        for index in 0..self.entries.len() {
            let phase = self.roster.phase(index);
            let entry = &mut self.entries[index];
            entry.kill_if_late(phase == Phase::Starting, now);
            if phase == Phase::Up && entry.breaker.as_mut().is_some_and(|breaker| breaker.tick(now)) {
                self.breaker_moved(index, ctx);
            }
            self.leave_behind_when_due(index, ctx);
        }
    }

    fn leave_behind_when_due(&mut self, index: usize, ctx: &mut Ctx<Self>) {
        let Some(reason) = self.entries[index].is_to_be_left_behind(clock::now()) else { return };
        self.move_home(index, ctx);
        self.left_behind(index, &reason, ctx);
    }
}
