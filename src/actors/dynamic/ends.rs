//! How children of a dynamic supervisor end, and what follows.
use std::time::Instant;

use crate::actors::context::Ctx;
use crate::actors::dynamic::DynamicSupervisor;
use crate::actors::dynamic::member::Finding;
use crate::actors::dynamic::member::Member;
use crate::actors::dynamic::member::Stage;
use crate::actors::dynamic::member::Worker;
use crate::actors::life::Exit;
use crate::actors::supervisor::End;
use crate::actors::watch::GIVEN_UP;
use crate::clock;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Transition;
use crate::resilience::restart::Verdict;

impl DynamicSupervisor {
    /// A life is over, or counts as over.
    pub(super) fn ended(&mut self, id: usize, exit: Exit, ctx: &mut Ctx<Self>) {
        if exit == Exit::Dropped {
            self.move_home(id, ctx); // the thread is gone
        }
        let reason = match self.members.get_mut(&id) {
            Some(Member::Worker(worker)) => {
                let entry = &mut worker.entry;
                let sentence = entry.sentence.take().map(|(reason, _)| reason);
                sentence.unwrap_or_else(|| entry.reason_of(&exit))
            }
            Some(Member::Guest(_)) | None => exit.to_string(),
        };
        let in_order = exit == Exit::Stopped;
        let what = if in_order { Transition::Stopped } else { Transition::Exited { reason: reason.clone() } };
        self.over(id, what, &reason, in_order, ctx);
    }

    fn over(&mut self, id: usize, what: Transition, reason: &str, in_order: bool, ctx: &mut Ctx<Self>) {
        self.say(id, what, ctx);
        let Some(Member::Worker(worker)) = self.members.get_mut(&id) else { return self.let_go(id) };
        worker.entry.last_exit = Some(reason.to_owned());
        worker.entry.bury();
        match worker.stage {
            Stage::Leaving { again: true } => worker.stage = Stage::Due(clock::now()),
            Stage::Leaving { again: false } => self.let_go(id),
            Stage::Due(_) | Stage::Starting | Stage::Up if worker.spec.restart.again_after(in_order) => {
                self.failed(id, reason, ctx);
            }
            Stage::Due(_) | Stage::Starting | Stage::Up => self.let_go(id),
        }
    }

    /// A child is gone and is not wanted any more; its seat is free.
    fn let_go(&mut self, id: usize) {
        if let Some(Member::Worker(worker)) = self.members.remove(&id)
            && self.end.is_none()
        {
            worker.entry.kid.shut(None, ChildState::Down, "finished");
        }
    }

    fn failed(&mut self, id: usize, reason: &str, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        let Some(Member::Worker(worker)) = self.members.get_mut(&id) else { return };
        let delay = worker.entry.failed(worker.spec.backoff, now);
        let name = worker.entry.name.clone();
        let most = self.spec.most_failures;
        if worker.entry.failures > most {
            let reason = format!("more than {most} failures in a row; the last: {reason}");
            if let Some(tell) = &worker.spec.given_up {
                tell(&reason);
            }
            self.say(id, Transition::GaveUp { reason }, ctx);
            return self.let_go(id);
        }
        if self.window.record(now) == Verdict::GiveUp {
            // it is not alive, and goes with the others
            worker.stage = Stage::Due(now);
            let limit = self.spec.intensity;
            let too_often = format!("more than {} restarts within {:?}", limit.max, limit.within);
            return self.give_up(format!("{too_often}; the last: {name} {reason}"), ctx);
        }
        due_again(worker, now + delay);
        self.say(id, Transition::RestartIn { delay }, ctx);
    }

    pub(super) fn give_up(&mut self, reason: String, ctx: &mut Ctx<Self>) {
        if self.end.is_some() {
            return;
        }
        ctx.life().tree.say(ctx.path(), ctx.epoch(), Transition::GaveUp { reason: reason.clone() });
        self.close(End::GaveUp(reason), ctx);
    }

    /// A request was not answered within the deadline.
    pub(super) fn hung(&mut self, id: usize) {
        if let Some(Member::Worker(worker)) = self.members.get_mut(&id) {
            worker.entry.hung(clock::now());
        }
    }

    /// An operator's restart: whatever the stage, and its record is clean afterwards.
    pub(super) fn restart(&mut self, id: usize) {
        let now = clock::now();
        let Some(Member::Worker(worker)) = self.members.get_mut(&id) else { return };
        worker.entry.failures = 0;
        match worker.stage {
            Stage::Due(_) => worker.stage = Stage::Due(now),
            Stage::Starting | Stage::Up => {
                worker.entry.kid.shut(None, ChildState::Restarting, "restarting");
                worker.entry.tell_to_stop(worker.spec.grace, None, now);
                worker.stage = Stage::Leaving { again: true };
            }
            Stage::Leaving { .. } => worker.stage = Stage::Leaving { again: true },
        }
    }

    /// A clock of this child has run out.
    pub(super) fn due(&mut self, id: usize, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        match self.members.get_mut(&id) {
            None => {}
            Some(Member::Guest(_)) => self.over(id, Transition::Abandoned, "it did not go", false, ctx),
            Some(Member::Worker(worker)) if matches!(worker.stage, Stage::Due(_)) => {
                if let Err(error) = self.begin(id, ctx) {
                    self.ended(id, Exit::Failed(error.to_string()), ctx);
                }
            }
            Some(Member::Worker(worker)) => {
                worker.entry.kill_if_late(worker.stage == Stage::Starting, now);
                if let Some(reason) = worker.entry.is_to_be_left_behind(now) {
                    self.move_home(id, ctx);
                    self.over(id, Transition::Abandoned, &reason, false, ctx);
                }
            }
        }
    }

    /// Looks for threads that are held, or were given up.
    pub(super) fn watch(&mut self, ctx: &mut Ctx<Self>) {
        let finding = |member: &Member| match member {
            Member::Worker(worker) => worker.look(),
            Member::Guest(_) => None,
        };
        let found: Vec<(usize, Finding)> =
            self.members.iter().filter_map(|(id, member)| Some((*id, finding(member)?))).collect();
        if found.is_empty() {
            return;
        }
        for (id, finding) in found {
            match finding {
                Finding::Stalled(reason) => self.leave_thread(id, reason, ctx),
                Finding::Deserted => self.follow_home(id, GIVEN_UP, ctx),
                Finding::NotBegun(reason) => {
                    self.move_home(id, ctx);
                    self.follow_home(id, &reason, ctx);
                }
            }
            self.note(id);
        }
        self.advance(ctx);
    }

    fn leave_thread(&mut self, id: usize, reason: String, ctx: &mut Ctx<Self>) {
        let Some(Member::Worker(worker)) = self.members.get_mut(&id) else { return };
        worker.entry.kill(&reason, clock::now());
        self.move_home(id, ctx);
        self.ended(id, Exit::Killed(reason), ctx);
    }

    /// Gives up the thread that a child holds or that is gone. Those who live there too follow at their next watch.
    /// Also while all are stopped: the next life of this supervisor needs a thread that moves.
    fn move_home(&mut self, id: usize, ctx: &mut Ctx<Self>) {
        let Some(Member::Worker(worker)) = self.members.get(&id) else { return };
        let moved = worker.entry.kid.home().map(|home| home.move_from(worker.entry.generation));
        if let Some(Err(error)) = moved {
            self.give_up(error.to_string(), ctx);
        }
    }

    /// The thread is held by another: not this child's fault, so that nothing counts.
    fn follow_home(&mut self, id: usize, reason: &str, ctx: &mut Ctx<Self>) {
        let Some(Member::Worker(worker)) = self.members.get_mut(&id) else { return };
        let now = clock::now();
        worker.entry.kill(reason, now);
        let leaves = matches!(worker.stage, Stage::Leaving { .. });
        if leaves || !worker.spec.restart.again_after(false) {
            return self.over(id, Transition::Exited { reason: reason.to_owned() }, reason, false, ctx);
        }
        worker.entry.bury();
        worker.entry.last_exit = Some(reason.to_owned());
        due_again(worker, now);
        self.say(id, Transition::Exited { reason: reason.to_owned() }, ctx);
    }
}

fn due_again(worker: &mut Worker, at: Instant) {
    worker.stage = Stage::Due(at);
    worker.entry.kid.shut(Some(at), ChildState::Restarting, "restarting");
}
