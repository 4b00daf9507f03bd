//! Runs: the list, and one run with its steps and findings.
use crate::api::accepted::Checked;
use crate::api::accepted::CheckedStep;
use crate::api::run::Awaited;
use crate::api::run::Run;
use crate::api::run::RunStatus;
use crate::api::run::Runs;
use crate::api::run::Step;
use crate::api::run::StepStatus;
use crate::cli::render::table::{
    Row, Style, Tone, clean, duration, facts, line, moment, or_dash, percent, shortened, table,
};
use crate::judges::finding::Finding;
use crate::judges::finding::Severity;

pub fn list(runs: &Runs, style: Style) -> String {
    if runs.workflows.is_empty() {
        return "no runs\n".to_owned();
    }
    let row = |run: &crate::api::run::RunSummary| {
        Row::new(
            run_tone(run.status),
            [
                run.workflow_id.to_string(),
                run.name.clone(),
                run.status.to_string(),
                percent(run.success_rate),
                percent(run.coverage),
                or_dash(run.execution_time_ms.map(|ms| duration(ms as f64))),
                moment(run.accepted),
            ],
        )
    };
    let rows: Vec<Row> = runs.workflows.iter().map(row).collect();
    let mut out = table(style, &["run", "name", "status", "success", "coverage", "time", "accepted"], &rows);
    if let Some(next) = &runs.next {
        line(&mut out, format_args!("more: --cursor {}", clean(next)));
    }
    out
}

pub fn show(run: &Run, style: Style) -> String {
    let mut out = style.paint(run_tone(run.status), &format!("{}  {}", clean(&run.name), run.status));
    out.push('\n');
    out.push_str(&facts(&[
        ("run", run.workflow_id.to_string()),
        ("mode", run.mode.clone()),
        ("accepted", moment(run.accepted)),
        ("took", or_dash(run.execution_time_ms.map(|ms| duration(ms as f64)))),
        ("success", percent(run.success_rate)),
        ("coverage", percent(run.coverage)),
        ("audit", or_dash(run.audit_index.map(|index| format!("entry {index}")))),
        ("node", run.node.to_string()),
    ]));
    if let Some(of) = &run.parent {
        out.push_str(&facts(&[("part of", format!("{}, step {}", of.workflow_id, of.step))]));
    }
    out.push('\n');
    out.push_str(&steps(&run.steps, style));
    let ran = |step: &Step| step.attempts.iter().any(|attempt| attempt.workflow_id.is_some());
    if run.steps.iter().any(|step| step.chosen_by.is_some() || ran(step)) {
        out.push('\n');
    }
    for step in &run.steps {
        for child in step.attempts.iter().filter_map(|attempt| attempt.workflow_id) {
            line(&mut out, format_args!("{}: ran as {child}", step.id));
        }
        if let (Some(agent), Some(chosen)) = (&step.agent, &step.chosen_by) {
            let why = chosen.reasons.join("; ");
            let confidence = percent(Some(chosen.confidence));
            line(&mut out, format_args!("{}: {agent} was chosen, confidence {confidence}: {}", step.id, clean(&why)));
        }
    }
    if !run.findings.is_empty() {
        out.push('\n');
        out.push_str(&findings(&run.findings, style));
    }
    out
}

pub fn steps(steps: &[Step], style: Style) -> String {
    let row = |step: &Step| {
        Row::new(
            step_tone(step.status),
            [
                step.id.to_string(),
                or_dash(step.agent.as_ref()),
                work(step.tool.as_ref(), step.playbook.as_deref()),
                step.status.to_string(),
                or_dash(took_ms(step).map(duration)),
                step.attempts.len().to_string(),
                shortened(&note(step), 90),
            ],
        )
    };
    let rows: Vec<Row> = steps.iter().map(row).collect();
    table(style, &["step", "agent", "tool", "status", "time", "tries", "note"], &rows)
}

/// What a step waits to have approved.
pub fn approval(step: &Step, style: Style) -> String {
    let mut out = style.paint(step_tone(step.status), &format!("{}  {}", step.id, step.status));
    out.push('\n');
    let Some(approval) = &step.approval else {
        out.push_str("nothing was asked about it\n");
        return out;
    };
    let decided = approval.decision.as_ref().map(|decision| {
        let word = if decision.approved { "approved" } else { "refused" };
        format!("{word} by {} at {}", clean(&decision.by), moment(decision.at))
    });
    out.push_str(&facts(&[
        ("agent", or_dash(step.agent.as_ref())),
        ("tool", or_dash(step.tool.as_ref())),
        ("does", or_dash(step.change.as_deref().map(clean))),
        ("reason", or_dash(approval.reason.as_deref().map(clean))),
        ("role", approval.role.to_string()),
        ("expires", moment(approval.expires)),
        ("digest", or_dash(approval.digest)),
        ("decision", or_dash(decided)),
    ]));
    let parameters = serde_json::to_string_pretty(&approval.parameters).unwrap_or_default();
    out.push_str(&format!("\n{}\n", parameters.lines().map(clean).collect::<Vec<_>>().join("\n")));
    out
}

/// Worst first.
pub fn findings(findings: &[Finding], style: Style) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let row = |finding: &&Finding| {
        Row::new(
            severity_tone(finding.severity),
            [
                severity_name(finding.severity).to_owned(),
                finding.rule.clone(),
                shortened(&finding.object, 48),
                shortened(&finding.summary, 100),
            ],
        )
    };
    let rows: Vec<Row> = sorted.iter().map(row).collect();
    table(style, &["severity", "rule", "object", "finding"], &rows)
}

pub fn checked(checked: &Checked, style: Style) -> String {
    let mut out =
        format!("{}: valid, mode {}, {} step(s)\n\n", clean(&checked.name), checked.mode, checked.steps.len());
    let mut rows = Vec::new();
    checked.steps.iter().for_each(|step| checked_step(step, "", &mut rows));
    out.push_str(&table(style, &["step", "agent", "tool", "needs", "timeout"], &rows));
    out
}

/// With the steps of a playbook below the step that runs it.
fn checked_step(step: &CheckedStep, inside: &str, rows: &mut Vec<Row>) {
    let needs = if step.needs.is_empty() { "-".to_owned() } else { step.needs.join(" ") };
    let time = or_dash(step.timeout_ms.map(|ms| duration(ms as f64)));
    let id = format!("{inside}{}", step.id);
    let work = work(step.tool.as_ref(), step.playbook.as_deref());
    rows.push(Row::new(Tone::Plain, [id.clone(), or_dash(step.agent.as_ref()), work, needs, time]));
    step.steps.iter().for_each(|step| checked_step(step, &format!("{id}/"), rows));
}

/// The tool, or the playbook in its place.
fn work(tool: Option<&impl ToString>, playbook: Option<&str>) -> String {
    match playbook {
        Some(playbook) => format!("playbook {}", clean(playbook)),
        None => or_dash(tool.map(ToString::to_string)),
    }
}

/// Of all attempts together.
pub fn took_ms(step: &Step) -> Option<f64> {
    step.attempts.iter().filter_map(|attempt| attempt.duration_ms).reduce(|sum, ms| sum + ms)
}

/// Why a step is not plainly done, in words.
pub fn note(step: &Step) -> String {
    if let Some(waits) = &step.waits_for {
        let until = moment(waits.until);
        return match (waits.what, &waits.name) {
            (Awaited::Signal, Some(name)) => format!("waits for the signal {name} until {until}"),
            (Awaited::Signal, None) => format!("waits for a signal until {until}"),
            (Awaited::Approval, _) => format!("waits for approval until {until}"),
            (Awaited::Time, _) => format!("sleeps until {until}"),
        };
    }
    let of_output = step.output.as_ref().and_then(|output| output.reason.as_ref());
    let of_output = of_output.map(|reason| {
        if reason.facility.is_empty() {
            reason.detail.clone()
        } else {
            format!("{}: {}", reason.facility, reason.detail)
        }
    });
    let of_attempt = || step.attempts.last().and_then(|attempt| attempt.error.clone());
    clean(&step.reason.clone().or(of_output).or_else(of_attempt).unwrap_or_default())
}

pub fn run_tone(status: RunStatus) -> Tone {
    match status {
        RunStatus::Succeeded => Tone::Good,
        RunStatus::Failed | RunStatus::TimedOut => Tone::Bad,
        RunStatus::RolledBack | RunStatus::NeedsHuman | RunStatus::Paused | RunStatus::Waiting => Tone::Warning,
        RunStatus::Cancelled => Tone::Faint,
        RunStatus::Pending | RunStatus::Running => Tone::Plain,
    }
}

pub fn step_tone(status: StepStatus) -> Tone {
    match status {
        StepStatus::Succeeded => Tone::Good,
        StepStatus::Degraded | StepStatus::Unavailable | StepStatus::Undone | StepStatus::WaitingApproval => {
            Tone::Warning
        }
        StepStatus::Failed | StepStatus::Denied | StepStatus::TimedOut => Tone::Bad,
        StepStatus::Skipped | StepStatus::Cancelled => Tone::Faint,
        StepStatus::Pending | StepStatus::Running => Tone::Plain,
    }
}

pub fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical | Severity::High => Tone::Bad,
        Severity::Medium => Tone::Warning,
        Severity::Low | Severity::Info => Tone::Plain,
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// A run with one step of each outcome that people ask about.
    pub fn sample() -> Run {
        let evidence = json!({
            "source": "/proc/loadavg", "sha256": "00".repeat(32), "bytes": 30,
            "started": "2026-01-02T03:04:05Z", "duration_ms": 0.4, "truncated": false
        });
        serde_json::from_value(json!({
            "workflow_id": "01900000-0000-7000-8000-000000000001",
            "name": "host-baseline", "mode": "dag", "status": "succeeded",
            "success_rate": 1.0, "execution_time_ms": 2345, "coverage": 0.5, "results": {"load": {"load": {}}},
            "steps": [
                {"id": "load", "agent": "PACER", "tool": "load.read", "status": "succeeded", "chosen_by": null,
                 "audit_index": 40,
                 "attempts": [{"n": 1, "status": "ok", "started": "2026-01-02T03:04:05Z", "duration_ms": 12.0, "error": null}],
                 "output": {"status": "ok", "data": {"load": {}}, "evidence": [evidence]}},
                {"id": "attest", "agent": "ATTESTOR", "tool": "tpm.attest", "status": "unavailable", "chosen_by": null,
                 "audit_index": 41,
                 "attempts": [{"n": 1, "status": "unavailable", "started": "2026-01-02T03:04:05Z", "duration_ms": 3.0, "error": null}],
                 "output": {"status": "unavailable", "data": null, "evidence": [],
                            "reason": {"code": "no_facility", "facility": "/dev/tpmrm0", "detail": "no TPM answers"}}},
            ],
            "audit_index": 42, "node": "host-1",
            "accepted": "2026-01-02T03:04:05Z", "finished": "2026-01-02T03:04:07Z",
            "findings": [
                {"id": "1", "rule": "svc.many", "severity": "low", "confidence": 0.5, "agent": "PACER", "object": "x.service",
                 "summary": "Many.", "observed": 1, "expected": 0, "evidence": []},
                {"id": "2", "rule": "cpu.vulnerable", "severity": "high", "confidence": 0.9, "agent": "PACER", "object": "spectre_v2",
                 "summary": "The processor is vulnerable.", "observed": 1, "expected": 0, "evidence": []}
            ]
        }))
        .expect("a run")
    }

    #[test]
    fn a_run_is_shown_with_its_steps_and_the_worst_finding_first() {
        let expected = "\
host-baseline  succeeded
run       01900000-0000-7000-8000-000000000001
mode      dag
accepted  2026-01-02 03:04:05Z
took      2.3 s
success   100 %
coverage  50 %
audit     entry 42
node      host-1

STEP    AGENT     TOOL        STATUS       TIME   TRIES  NOTE
load    PACER     load.read   succeeded    12 ms  1
attest  ATTESTOR  tpm.attest  unavailable  3 ms   1      /dev/tpmrm0: no TPM answers

SEVERITY  RULE            OBJECT      FINDING
high      cpu.vulnerable  spectre_v2  The processor is vulnerable.
low       svc.many        x.service   Many.
";
        assert_eq!(show(&sample(), Style::default()), expected);
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(list(&Runs { workflows: Vec::new(), next: None }, Style::default()), "no runs\n");
    }
}
