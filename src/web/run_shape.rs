//! From the engine's run to the shape that the API shows.
use crate::api;
use crate::api::run::RunStatus as ShownRun;
use crate::api::run::StepStatus as ShownStep;
use crate::ids::NodeId;
use crate::web::error::ApiError;
use crate::workflow::event::RunEvent;
use crate::workflow::plan::Plan;
use crate::workflow::record::StoredRun;
use crate::workflow::run::Run;
use crate::workflow::status::Hold;
use crate::workflow::status::RunStatus;
use crate::workflow::status::StepStatus;
use crate::workflow::step::Step;
use crate::workflow::step::Work;
use crate::workflow::step_run::Attempt;
use crate::workflow::step_run::Note;
use crate::workflow::step_run::StepRun;

/// The run that a stored journal leads to, as it is shown.
pub fn replayed(stored: StoredRun) -> Result<api::run::Run, ApiError> {
    let node = stored.node.clone();
    Ok(shape(&rebuilt(stored)?, node))
}

pub fn rebuilt(stored: StoredRun) -> Result<Run, ApiError> {
    let id = stored.header.run;
    let unreadable = |cause: &dyn std::fmt::Display| ApiError::Unreadable(format!("the journal of run {id}: {cause}"));
    let mut events = Vec::with_capacity(stored.rows.len());
    let mut indexes = Vec::new();
    for (row, index) in stored.rows {
        let event: RunEvent = row.body.read().map_err(|cause| unreadable(&cause))?;
        indexes.extend(index.map(|index| (event.step().cloned(), index)));
        events.push((row.at, event));
    }
    let mut run = Run::replay(id, events).map_err(|cause| unreadable(&cause))?;
    for (step, index) in indexes {
        run.note_audit(step.as_ref(), index);
    }
    Ok(run)
}

pub fn shape(run: &Run, node: NodeId) -> api::run::Run {
    let labels = run.plan().labels().iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    api::run::Run {
        workflow_id: run.id(),
        name: run.plan().name().to_owned(),
        mode: run.plan().mode().as_str().to_owned(),
        status: run_status(run.status()),
        success_rate: run.success_rate(),
        execution_time_ms: run.execution_time_ms(),
        coverage: run.coverage(),
        results: run.results().map(|(step, data)| (step.clone(), data.clone())).collect(),
        steps: run.steps().enumerate().map(|(place, (step, state))| step_shape(run, place, step, state)).collect(),
        audit_index: run.audit_index(),
        node,
        accepted: run.accepted(),
        finished: run.finished(),
        labels: serde_json::Value::Object(labels),
        findings: run.findings().map(|(_, finding)| finding.clone()).collect(),
        by: run.by().to_owned(),
        paused_by: run.paused_by().map(str::to_owned),
        parent: run.parent().map(|of| api::run::Parent { workflow_id: of.run, step: of.step.clone() }),
    }
}

fn step_shape(run: &Run, place: usize, step: &Step, state: &StepRun) -> api::run::Step {
    let doer = run.doer(place);
    let reason = state.note().map(|note| match note {
        Note::Skipped { detail, .. } => detail.clone(),
        Note::Ended(reason) => reason.detail.clone(),
    });
    api::run::Step {
        id: step.id.clone(),
        agent: doer.map(|doer| doer.agent.clone()),
        tool: doer.map(|doer| doer.tool.clone()),
        playbook: step.playbook().map(|(name, _)| name.to_owned()),
        status: step_status(state.status()),
        attempts: state.attempts().iter().map(attempt_shape).collect(),
        output: state.output().cloned(),
        chosen_by: state
            .chosen()
            .map(|choice| api::run::ChosenBy { confidence: choice.confidence, reasons: choice.reasons.clone() }),
        audit_index: state.audit_index(),
        reason,
        waits_for: waits_for(step, state),
        approval: approval(step, state),
        change: state.change().map(|change| change.summary.clone()),
        undo: run.undo_of(&step.id).map(attempt_shape).collect(),
    }
}

fn waits_for(step: &Step, state: &StepRun) -> Option<api::run::WaitsFor> {
    let what = match state.held_on()? {
        Hold::Time => api::run::Awaited::Time,
        Hold::Signal => api::run::Awaited::Signal,
        Hold::Approval => api::run::Awaited::Approval,
    };
    let name = match &step.work {
        Work::Signal { name } => Some(name.clone()),
        Work::Tool(_) | Work::Task { .. } | Work::Playbook { .. } | Work::Sleep { .. } | Work::Gate {} => None,
    };
    Some(api::run::WaitsFor { what, name, until: state.waiting_until()? })
}

fn approval(step: &Step, state: &StepRun) -> Option<api::run::Approval> {
    let (wanted, asked) = (step.approve.as_ref()?, state.asked()?);
    let decision = asked.decided.as_ref().map(|decided| api::run::Decision {
        approved: decided.approved,
        by: decided.by.clone(),
        at: decided.at,
        comment: decided.comment.clone(),
    });
    Some(api::run::Approval {
        role: wanted.role,
        reason: wanted.reason.clone(),
        expires: asked.until,
        parameters: state.to_approve().cloned().unwrap_or_default(),
        digest: asked.digest,
        decision,
    })
}

fn attempt_shape(attempt: &Attempt) -> api::run::Attempt {
    api::run::Attempt {
        n: attempt.n,
        status: attempt.status().to_owned(),
        started: attempt.started,
        duration_ms: attempt.duration_ms(),
        error: attempt.error().map(str::to_owned),
        workflow_id: attempt.child,
    }
}

/// What a dry run is answered with.
pub fn checked(plan: &Plan) -> api::accepted::Checked {
    api::accepted::Checked {
        valid: true,
        name: plan.name().to_owned(),
        mode: plan.mode().as_str().to_owned(),
        steps: plan.steps().iter().map(checked_step).collect(),
    }
}

fn checked_step(step: &Step) -> api::accepted::CheckedStep {
    api::accepted::CheckedStep {
        id: step.id.to_string(),
        agent: step.doer().map(|doer| doer.agent.to_string()),
        tool: step.doer().map(|doer| doer.tool.to_string()),
        playbook: step.playbook().map(|(name, _)| name.to_owned()),
        steps: step.playbook().map(|(_, plan)| plan.steps().iter().map(checked_step).collect()).unwrap_or_default(),
        needs: step.needs.iter().map(ToString::to_string).collect(),
        timeout_ms: u64::try_from(step.timeout.as_millis()).ok(),
    }
}

fn run_status(status: RunStatus) -> ShownRun {
    match status {
        RunStatus::Running => ShownRun::Running,
        RunStatus::Paused => ShownRun::Paused,
        RunStatus::Waiting => ShownRun::Waiting,
        RunStatus::Succeeded => ShownRun::Succeeded,
        RunStatus::Failed => ShownRun::Failed,
        RunStatus::Cancelled => ShownRun::Cancelled,
        RunStatus::TimedOut => ShownRun::TimedOut,
        RunStatus::RolledBack => ShownRun::RolledBack,
        RunStatus::NeedsHuman => ShownRun::NeedsHuman,
    }
}

fn step_status(status: StepStatus) -> ShownStep {
    match status {
        StepStatus::Pending => ShownStep::Pending,
        StepStatus::Running => ShownStep::Running,
        StepStatus::WaitingApproval => ShownStep::WaitingApproval,
        StepStatus::Succeeded => ShownStep::Succeeded,
        StepStatus::Degraded => ShownStep::Degraded,
        StepStatus::Unavailable => ShownStep::Unavailable,
        StepStatus::Failed => ShownStep::Failed,
        StepStatus::Denied => ShownStep::Denied,
        StepStatus::Skipped => ShownStep::Skipped,
        StepStatus::Cancelled => ShownStep::Cancelled,
        StepStatus::TimedOut => ShownStep::TimedOut,
        StepStatus::Undone => ShownStep::Undone,
    }
}
