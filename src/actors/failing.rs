//! What a supervisor does when a child ends or a request to it fails.
use crate::actors::context::Ctx;
use crate::actors::life::CallReport;
use crate::actors::life::Exit;
use crate::actors::supervisor::End;
use crate::actors::supervisor::Supervisor;
use crate::clock;
use crate::messages::outcome::Class;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Transition;
use crate::resilience::breaker::State;
use crate::resilience::restart::Verdict;
use crate::resilience::roster::Phase;

impl Supervisor {
    /// A life is over, or counts as over.
    pub(super) fn ended(&mut self, index: usize, exit: Exit, ctx: &mut Ctx<Self>) {
        if exit == Exit::Dropped {
            self.move_home(index, ctx); // the thread is gone
        }
        let sentence = self.entries[index].sentence.take().map(|(reason, _)| reason);
        let reason = sentence.unwrap_or_else(|| self.entries[index].reason_of(&exit));
        let in_order = exit == Exit::Stopped;
        if matches!(exit, Exit::Hopeless(_)) {
            return self.end_with(index, reason, ctx);
        }
        let what = if in_order { Transition::Stopped } else { Transition::Exited { reason: reason.clone() } };
        self.over(index, what, &reason, in_order, ctx);
    }

    /// A child ended whom no restart can help: its supervisor ends with it.
    fn end_with(&mut self, index: usize, reason: String, ctx: &mut Ctx<Self>) {
        let leaving = matches!(self.roster.phase(index), Phase::Leaving { .. });
        let entry = &mut self.entries[index];
        entry.last_exit = Some(reason.clone());
        entry.bury();
        entry.kid.shut(None, ChildState::Down, "it ended for good");
        self.say(index, Transition::Exited { reason: reason.clone() }, ctx);
        if leaving {
            self.roster.left(index);
        } else {
            self.roster.ended(index);
            self.give_up_with(End::GaveUpForGood(reason.clone()), reason, ctx);
        }
        self.advance(ctx);
    }

    /// A life did not end when it was killed: its thread is blocked.
    pub(super) fn left_behind(&mut self, index: usize, reason: &str, ctx: &mut Ctx<Self>) {
        self.over(index, Transition::Abandoned, reason, false, ctx);
    }

    fn over(&mut self, index: usize, what: Transition, reason: &str, in_order: bool, ctx: &mut Ctx<Self>) {
        let leaving = matches!(self.roster.phase(index), Phase::Leaving { .. });
        let restart = self.spec.children[index].restart;
        let entry = &mut self.entries[index];
        let successes = entry.life.as_ref().map_or(0, |life| life.take_successes());
        if let Some(breaker) = entry.breaker.as_mut() {
            breaker.successes(successes);
        }
        entry.last_exit = Some(reason.to_owned());
        entry.bury();
        self.say(index, what, ctx);
        if leaving {
            self.roster.left(index);
        } else if restart.again_after(in_order) {
            self.failed(index, reason, ctx);
        } else {
            self.roster.ended(index);
            self.entries[index].kid.shut(None, ChildState::Down, "finished");
        }
        self.advance(ctx);
    }

    fn failed(&mut self, index: usize, reason: &str, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        let entry = &mut self.entries[index];
        let delay = entry.failed(self.spec.children[index].backoff, now);
        if entry.breaker.as_mut().is_some_and(|breaker| breaker.broke(now)) {
            self.breaker_moved(index, ctx);
        }
        if self.window.record(now) == Verdict::GiveUp {
            self.roster.ended(index);
            let (name, limit) = (&self.entries[index].name, self.spec.intensity);
            let too_often = format!("more than {} restarts within {:?}", limit.max, limit.within);
            return self.give_up(format!("{too_often}; the last: {name} {reason}"), ctx);
        }
        let entry = &self.entries[index];
        // while callers are refused anyway, restarts would only eat up the supervisor's patience
        let at = entry.open_until().map_or(now + delay, |until| until.max(now + delay));
        match entry.open_until() {
            Some(until) => entry.kid.shut(Some(until), ChildState::Open, "circuit open"),
            None => entry.kid.shut(Some(at), ChildState::Restarting, "restarting"),
        }
        for leaving in self.roster.fell(index, at) {
            self.entries[leaving].kid.shut(Some(at), ChildState::Restarting, "restarting");
        }
        self.say(index, Transition::RestartIn { delay: at - now }, ctx);
    }

    pub(super) fn give_up(&mut self, reason: String, ctx: &mut Ctx<Self>) {
        self.give_up_with(End::GaveUp(reason.clone()), reason, ctx);
    }

    fn give_up_with(&mut self, end: End, reason: String, ctx: &mut Ctx<Self>) {
        if self.roster.is_closed() {
            return;
        }
        ctx.life().tree.say(ctx.path(), ctx.epoch(), Transition::GaveUp { reason });
        self.close(end, ctx);
    }

    /// A request went badly, or was a probe.
    pub(super) fn called(&mut self, index: usize, report: CallReport, ctx: &mut Ctx<Self>) {
        let now = clock::now();
        let Some(breaker) = self.entries[index].breaker.as_mut() else { return };
        breaker.successes(report.successes_before);
        let failed = report.class == Class::Failed;
        match report.probe {
            Some(probe) if report.class == Class::Ignored => {
                if breaker.probe_again(probe) {
                    self.republish(index);
                }
            }
            Some(probe) => {
                if breaker.probed(now, probe, failed) {
                    self.breaker_moved(index, ctx);
                }
            }
            None => {
                if breaker.call(now, failed, report.slow) {
                    self.breaker_moved(index, ctx);
                }
            }
        }
    }

    /// Tells the news of a breaker and moves the gate.
    pub(super) fn breaker_moved(&mut self, index: usize, ctx: &mut Ctx<Self>) {
        let what = match self.entries[index].breaker_state() {
            State::Closed => Transition::BreakerClosed,
            State::HalfOpen { .. } => Transition::BreakerHalfOpen,
            State::Open { until } => {
                Transition::BreakerOpened { retry_after: until.saturating_duration_since(clock::now()) }
            }
        };
        self.say(index, what, ctx);
        self.republish(index);
    }

    fn republish(&self, index: usize) {
        if self.roster.phase(index) == Phase::Up {
            self.entries[index].open();
        }
    }
}
