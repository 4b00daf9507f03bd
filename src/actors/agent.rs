//! One agent: takes steps, runs their tools, judges what they found.
//!
//! ```text
//! RunStep -> grant checked -> place free (concurrency) -> tool on a thread -> deadline? -> checked, judged -> reply
//! ```
//! A tool that panics on its thread costs one step; a panic in the actor itself is for the supervisor.
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::fut::WrapFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Handler, MessageResult, ResponseActFuture};
use tokio::sync::{AcquireError, watch};
use tracing::{debug, error};

use crate::actors::calls::carry_out;
use crate::actors::context::Ctx;
use crate::actors::places::{Place, Places};
use crate::actors::usage::measured;
use crate::agents::profile::AgentProfile;
use crate::agents::stats::Stats;
use crate::clock;
use crate::ids::ToolId;
use crate::judges;
use crate::messages::agent::{AgentStats, GetStats, RunStep, StepNotDone};
use crate::recovery::action::Restraint;
use crate::toolkit::bench::Workbench;
use crate::toolkit::change::Call;
use crate::toolkit::output::{Output, Reason, Status};
use crate::toolkit::spec::{RunsOn, Tool, ToolSpec};
use crate::tools::toolbox::Toolbox;
use crate::workflow::result::{StepResult, Usage};

/// How long a tool that was told to stop may take before its thread is left behind.
const GRACE: Duration = Duration::from_secs(2);

/// The actor behind every one of the agents; what differs is the profile.
pub struct Agent {
    profile: Arc<AgentProfile>,
    toolbox: Arc<Toolbox>,
    bench: Arc<Workbench>,
    places: Places,
    restraint: watch::Receiver<Restraint>,
    stats: Stats,
    in_hand: usize,
}

type Worked = Result<(Output, Option<Usage>), StepNotDone>;

/// A tool that the agent may use, and what must be known of it to do so.
struct Granted {
    tool: Arc<dyn Tool>,
    runs_on: RunsOn,
    needs_evidence: bool,
}

impl Agent {
    pub fn new(
        profile: Arc<AgentProfile>,
        toolbox: Arc<Toolbox>,
        bench: Arc<Workbench>,
        restraint: watch::Receiver<Restraint>,
    ) -> Self {
        let places = Places::new(profile.concurrency);
        Agent { profile, toolbox, bench, places, restraint, stats: Stats::default(), in_hand: 0 }
    }

    /// Uses as many places as it may at present, and again at each change of that.
    fn keep_to_restraint(&mut self, ctx: &mut Ctx<Self>) {
        self.places.use_share(self.restraint.borrow_and_update().share);
        let mut restraint = self.restraint.clone();
        let change = async move { restraint.changed().await };
        ctx.spawn(change.into_actor(self).map(|changed, agent, ctx| {
            // Nobody restrains any more once the sender has gone with the service.
            if changed.is_ok() {
                agent.keep_to_restraint(ctx);
            }
        }));
    }

    fn begin(&mut self, order: &RunStep) -> Pin<Box<dyn Future<Output = Worked>>> {
        match self.tool_for(&order.tool) {
            Ok(granted) => Box::pin(work(
                granted,
                Arc::clone(&self.bench),
                Arc::clone(&self.profile),
                self.places.take(),
                order.clone(),
            )),
            Err(refusal) => Box::pin(std::future::ready(Ok((*refusal, None)))),
        }
    }

    /// Grants are checked again here: the agent does not trust whoever planned the step.
    fn tool_for(&self, id: &ToolId) -> Result<Granted, Box<Output>> {
        if !self.profile.tools.contains(id) {
            let detail = format!("agent {} is not granted {id}; its tools are listed in its profile", self.profile.id);
            let reason = Reason::new("not_granted", id.as_str(), detail);
            return Err(Box::new(Output::without_data(Status::Denied, reason)));
        }
        // The toolbox keeps the specification: making one anew means making its schemas anew.
        let known = self.toolbox.get(id).zip(self.toolbox.spec(id));
        let granted = |(tool, spec): (&Arc<dyn Tool>, &ToolSpec)| Granted {
            tool: Arc::clone(tool),
            runs_on: spec.runs_on,
            needs_evidence: spec.needs_evidence,
        };
        known.map(granted).ok_or_else(|| {
            let detail = format!("{id} is not in the catalogue of this release");
            let reason = Reason::new("unknown_tool", id.as_str(), detail);
            Box::new(Output::without_data(Status::Unavailable, reason))
        })
    }

    fn finish(&mut self, order: &RunStep, began: Instant, worked: Worked) -> Result<StepResult, StepNotDone> {
        self.in_hand -= 1;
        let duration_ms = clock::now().saturating_duration_since(began).as_secs_f64() * 1e3;
        let (output, usage) = worked.inspect_err(|_| self.stats.record(duration_ms, Status::Failed))?;
        self.stats.record(duration_ms, output.status);
        let findings = match order.call {
            Call::Run | Call::Apply(_) => judges::conclude(&self.profile.id, &order.tool, &output),
            // Nothing was found out about the host, and nothing was done that was asked for.
            Call::Plan | Call::Undo(_) | Call::Settle(_) => Vec::new(),
        };
        let (agent, step) = (&self.profile.id, &order.step);
        debug!(agent.id = %agent, run.id = %order.run, step.id = %step, duration_ms, "agent {agent} finished step {step}");
        Ok(StepResult { output, findings, duration_ms, usage })
    }
}

/// Waits for a place, then lets the tool work until the deadline.
async fn work(
    granted: Granted,
    bench: Arc<Workbench>,
    profile: Arc<AgentProfile>,
    place: impl Future<Output = Result<Place, AcquireError>>,
    order: RunStep,
) -> Worked {
    let deadline = tokio::time::Instant::from_std(order.deadline);
    // What puts the host back waits neither for a place nor for the end of a restraint.
    let _place = match order.call {
        Call::Undo(_) => None,
        Call::Run | Call::Plan | Call::Apply(_) | Call::Settle(_) => {
            match tokio::time::timeout_at(deadline, place).await {
                Ok(Ok(place)) => Some(place),
                _ => return Ok((out_of_time("the agent had no free place before the deadline"), None)),
            }
        }
    };
    let Granted { tool, runs_on, needs_evidence } = granted;
    let cx = bench.cx(&order.run, &order.step, &profile.id, order.deadline, order.cancel.clone());
    let (output, usage) = match runs_on {
        RunsOn::Arbiter => measured(|| carry_out(&*tool, &cx, &order.call, &order.input)),
        RunsOn::Thread => {
            let RunStep { call, input, .. } = order;
            let mut thread = tokio::task::spawn_blocking(move || measured(|| carry_out(&*tool, &cx, &call, &input)));
            let finished = match tokio::time::timeout_at(deadline, &mut thread).await {
                Ok(finished) => finished,
                Err(_) => {
                    order.cancel.raise();
                    match tokio::time::timeout(GRACE, &mut thread).await {
                        Ok(Ok((_, usage))) => return Ok((out_of_time("the tool was stopped at the deadline"), usage)),
                        Ok(finished) => finished,
                        Err(_) => {
                            let tool = &order.tool;
                            error!(agent.id = %profile.id, tool.id = %tool, "tool {tool} did not stop; its thread is left behind");
                            let detail = "the tool did not stop at the deadline; its thread was left behind";
                            return Ok((out_of_time(detail), None));
                        }
                    }
                }
            };
            finished.map_err(|failed| panicked(&order.tool, failed))?
        }
    };
    Ok((output.checked(needs_evidence), usage))
}

fn out_of_time(detail: &str) -> Output {
    Output::without_data(Status::TimedOut, Reason::new("timeout", "step", detail))
}

fn panicked(tool: &ToolId, failed: tokio::task::JoinError) -> StepNotDone {
    let message = match failed.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned()),
        Err(failed) => failed.to_string(),
    };
    StepNotDone::ToolPanicked { tool: tool.clone(), message }
}

impl Actor for Agent {
    type Context = Ctx<Self>;
    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.keep_to_restraint(ctx);
    }
}

impl Handler<RunStep> for Agent {
    type Result = ResponseActFuture<Self, Result<StepResult, StepNotDone>>;
    fn handle(&mut self, order: RunStep, _: &mut Ctx<Self>) -> Self::Result {
        let began = clock::now();
        self.in_hand += 1;
        let worked = self.begin(&order);
        Box::pin(worked.into_actor(self).map(move |worked, agent, _| agent.finish(&order, began, worked)))
    }
}

impl Handler<GetStats> for Agent {
    type Result = MessageResult<GetStats>;
    fn handle(&mut self, _: GetStats, _: &mut Ctx<Self>) -> Self::Result {
        let summary = self.stats.summary();
        MessageResult(AgentStats {
            done: summary.done,
            failed: summary.failed,
            p50_ms: summary.p50_ms,
            p95_ms: summary.p95_ms,
            success_rate: summary.success_rate,
            queue: self.in_hand,
        })
    }
}

#[cfg(test)]
mod tests;
