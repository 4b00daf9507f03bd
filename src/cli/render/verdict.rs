//! What `dsmil up` prints when its playbook has ended: verdict, findings, times, coverage, proof, where to look.
use std::collections::BTreeMap;

use crate::api::audit::Head;
use crate::api::run::Run;
use crate::api::run::StepStatus;
use crate::cli::render::run::{findings, note, run_tone, severity_name, steps};
use crate::cli::render::table::{Style, Tone, clean, duration, facts, line, or_dash, percent};
use crate::toolkit::cx::Trust;

/// What was found out about the record of the run.
pub struct Proof {
    pub head: Head,
    /// Of the run's last entry: the index, and that its proof leads to the signed head, or why not.
    pub checked: Result<u64, String>,
}

/// Where the operator finds more.
pub struct Places {
    pub url: String,
    pub token_file: String,
    pub log_dir: String,
    pub vkey_file: String,
}

pub fn verdict(run: &Run, proof: Result<&Proof, &str>, places: &Places, style: Style) -> String {
    let mut out = String::new();
    let took = or_dash(run.execution_time_ms.map(|ms| duration(ms as f64)));
    let headline = format!("{}: {} in {took}, success {}", clean(&run.name), run.status, percent(run.success_rate));
    line(&mut out, format_args!("{}", style.paint(run_tone(run.status), &headline)));

    section(&mut out, style, &format!("Findings: {}", by_severity(run)));
    if !run.findings.is_empty() {
        out.push_str(&findings(&run.findings, style));
    }
    section(&mut out, style, "Steps");
    out.push_str(&steps(&run.steps, style));
    section(&mut out, style, &format!("Coverage: {}", percent(run.coverage)));
    out.push_str(&not_covered(run));
    section(&mut out, style, "Record");
    match proof {
        Ok(proof) => out.push_str(&record(proof, style)),
        Err(why) => line(&mut out, format_args!("{}", style.paint(Tone::Bad, &format!("not checked: {}", clean(why))))),
    }
    section(&mut out, style, "Where to look");
    out.push_str(&facts(&[
        ("api", format!("{}/api/v1", places.url)),
        ("dashboard", format!("{}/", places.url)),
        ("run", format!("dsmil runs show {}", run.workflow_id)),
        ("report", or_dash(report_path(run))),
        ("token", places.token_file.clone()),
        ("verify", format!("dsmil audit verify --dir {} --vkey {}", places.log_dir, places.vkey_file)),
    ]));
    out
}

fn section(out: &mut String, style: Style, title: &str) {
    line(out, format_args!("\n{}", style.paint(Tone::Heading, title)));
}

fn by_severity(run: &Run) -> String {
    let mut counts = BTreeMap::new();
    for finding in &run.findings {
        *counts.entry(std::cmp::Reverse(finding.severity)).or_insert(0_usize) += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    let parts = counts.iter().map(|(severity, count)| format!("{count} {}", severity_name(severity.0)));
    parts.collect::<Vec<_>>().join(", ")
}

/// Each step that could not assess all, and why.
fn not_covered(run: &Run) -> String {
    let partial = |status| matches!(status, StepStatus::Unavailable | StepStatus::Degraded);
    let lines: Vec<String> = run
        .steps
        .iter()
        .filter(|step| partial(step.status))
        .map(|step| format!("{} ({}): {}\n", step.id, step.status, note(step)))
        .collect();
    if lines.is_empty() { "nothing was unavailable\n".to_owned() } else { lines.concat() }
}

fn record(proof: &Proof, style: Style) -> String {
    let Head { size, root, trust, tpm, .. } = &proof.head;
    let trust = match trust {
        Some(Trust::Hardware) => "hardware",
        Some(Trust::Emulator) => "emulator",
        None => "unknown: the TPM did not answer",
    };
    let maker = tpm.as_ref().map(|tpm| format!(" ({tpm})")).unwrap_or_default();
    let mut out = facts(&[
        ("signed head", format!("{size} entries")),
        ("root", root.to_string()),
        ("trust", format!("{trust}{maker}")),
    ]);
    let (tone, text) = match &proof.checked {
        Ok(index) => {
            (Tone::Good, format!("inclusion    entry {index} is in the signed log: proof and signature verified"))
        }
        Err(why) => (Tone::Bad, format!("inclusion    NOT verified: {}", clean(why))),
    };
    line(&mut out, format_args!("{}", style.paint(tone, &text)));
    out
}

/// The first artifact that a step of the run reports.
fn report_path(run: &Run) -> Option<String> {
    let path = |data: &serde_json::Value| data.pointer("/artifact/path").and_then(|path| path.as_str().map(clean));
    run.results.values().find_map(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::run::tests::sample;
    use crate::ids::Digest;

    fn places() -> Places {
        Places {
            url: "http://127.0.0.1:8787".into(),
            token_file: "/d/admin.token".into(),
            log_dir: "/d/audit/log".into(),
            vkey_file: "/d/audit/log/vkey".into(),
        }
    }

    fn proof(checked: Result<u64, String>) -> Proof {
        let head = Head {
            size: 43,
            root: Digest([0xab; 32]),
            note: String::new(),
            trust: Some(Trust::Emulator),
            tpm: Some("IBM SW".into()),
        };
        Proof { head, checked }
    }

    #[test]
    fn the_verdict_names_what_was_not_covered_and_what_is_proved() {
        let text = verdict(&sample(), Ok(&proof(Ok(42))), &places(), Style::default());
        for part in [
            "host-baseline: succeeded in 2.3 s, success 100 %\n",
            "Findings: 1 high, 1 low\n",
            "Coverage: 50 %\nattest (unavailable): /dev/tpmrm0: no TPM answers\n",
            "signed head  43 entries\nroot         abababababababab",
            "trust        emulator (IBM SW)\n",
            "inclusion    entry 42 is in the signed log: proof and signature verified\n",
            "report     -\n",
            "token      /d/admin.token\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn a_proof_that_fails_is_not_passed_over() {
        let text = verdict(&sample(), Ok(&proof(Err("wrong root".into()))), &places(), Style::default());
        assert!(text.contains("NOT verified: wrong root"), "{text}");
        let text = verdict(&sample(), Err("the service ended"), &places(), Style::default());
        assert!(text.contains("not checked: the service ended"), "{text}");
    }
}
