//! `report.render`: the results of a run as a file that can be handed on.
use std::time::Duration;

use minijinja::Environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::toolkit::cx::{Artifact, NotAvailable, PastStep, ToolCx};
use crate::toolkit::output::{Output, Reason, Status};
use crate::toolkit::spec::{Tool, ToolKind, ToolSpec};
use crate::tools::evidence::{Reader, Started, sha256};
use crate::tools::input;
use crate::tools::schema;

const MARKDOWN: &str = include_str!("report.md.jinja");

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Md,
    Json,
    Sarif,
    Html,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// `md` if left out.
    #[serde(default)]
    format: Format,
    /// The heading of the report.
    #[serde(default)]
    template: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Data {
    artifact: Kept,
    findings: usize,
    steps: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Kept {
    id: String,
    sha256: String,
    path: String,
    bytes: u64,
}

pub struct ReportRender;

impl Tool for ReportRender {
    fn spec(&self) -> ToolSpec {
        let what = "Writes a report of a run as an artifact";
        ToolSpec {
            kind: ToolKind::External,
            learn: false,
            ..schema::read_only::<Input, Data>("report.render", what, "artifact store", Duration::from_secs(60))
        }
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        input::parse(input).and_then(|input: Input| render(cx, &input)).unwrap_or_else(|refusal| *refusal)
    }
}

fn render(cx: &ToolCx, input: &Input) -> Result<Output, Box<Output>> {
    if matches!(input.format, Format::Sarif | Format::Html) {
        let detail = "this release writes reports as `md` and `json`";
        return Err(Box::new(Output::without_data(
            Status::Unavailable,
            Reason::new("not_built", "report format", detail),
        )));
    }
    let started = Started::now(cx);
    let past = cx.history.steps_of(cx.run).map_err(unavailable)?;
    let told = content(cx, input, &past);
    let (text, ending) = match input.format {
        Format::Json => (serde_json::to_string_pretty(&told).map_err(|error| failed(&error))?, "json"),
        _ => (markdown(&told).map_err(|error| failed(&error))?, "md"),
    };
    let Artifact { id, sha256: digest, path, bytes } =
        cx.artifacts.put(text.as_bytes(), ending).map_err(unavailable)?;
    let mut reader = Reader::new(cx);
    reader.push(started.evidence(cx, format!("self:journal of run {}", cx.run), sha256(text.as_bytes()), bytes, false));
    let findings = past.iter().map(|step| step.findings.len()).sum();
    let artifact = Kept { id, sha256: digest.to_string(), path, bytes };
    Ok(reader.finish(Data { artifact, findings, steps: past.len() }))
}

/// What every format says.
fn content(cx: &ToolCx, input: &Input, past: &[PastStep]) -> Value {
    let mut findings: Vec<&Value> = past.iter().flat_map(|step| &step.findings).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(rank(finding["severity"].as_str().unwrap_or_default())));
    let count = |statuses: &[Status]| past.iter().filter(|step| statuses.contains(&step.output.status)).count();
    let assessed = count(&[Status::Ok, Status::Degraded]);
    let assessable = assessed + count(&[Status::Unavailable]);
    let coverage = if assessable == 0 { 0.0 } else { assessed as f64 / assessable as f64 };
    let steps: Vec<Value> = past
        .iter()
        .map(|step| {
            let remark =
                step.output.reason.as_ref().map(|reason| reason.detail.replace('|', "\\|")).unwrap_or_default();
            json!({
                "step": step.step, "agent": step.agent, "tool": step.tool, "status": step.output.status,
                "duration_ms": step.duration_ms, "evidence": step.output.evidence.len(), "remark": remark,
                "finished": step.finished,
            })
        })
        .collect();
    json!({
        "title": input.template.as_deref().unwrap_or("Report of a run"),
        "run": cx.run, "node": cx.node, "written": cx.time.wall().to_rfc3339(),
        "counts": { "assessed": assessed, "assessable": assessable },
        "coverage_pct": (coverage * 1000.0).round() / 10.0,
        "findings": findings, "steps": steps,
    })
}

fn rank(severity: &str) -> usize {
    ["info", "low", "medium", "high", "critical"].iter().position(|name| *name == severity).unwrap_or_default()
}

fn markdown(told: &Value) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template("report", MARKDOWN)?;
    environment.get_template("report")?.render(minijinja::value::Serde(told))
}

fn unavailable(error: NotAvailable) -> Box<Output> {
    Box::new(Output::without_data(Status::Unavailable, Reason::new("no_facility", error.facility, error.detail)))
}

fn failed(error: &dyn std::error::Error) -> Box<Output> {
    let detail = format!("the report could not be written: {error}");
    Box::new(Output::without_data(Status::Failed, Reason::new("io", "report", detail)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AgentId, RunId, StepId, ToolId};
    use crate::tools::fixture_cx::FixtureCx;

    fn past(status: Status, findings: Vec<Value>) -> PastStep {
        let output = match status {
            Status::Ok => Output::ok(Value::Null, Vec::new()),
            other => Output::without_data(other, Reason::new("no_facility", "x", "a | b")),
        };
        PastStep {
            run: RunId(uuid::Uuid::from_u128(1)),
            step: StepId::new("cpu").expect("id"),
            agent: AgentId::new("PACER").expect("id"),
            tool: ToolId::new("cpu.inspect").expect("id"),
            finished: chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("time"),
            duration_ms: 3,
            output,
            findings,
        }
    }

    #[test]
    fn findings_are_ordered_by_severity_and_what_was_unavailable_is_told() {
        let finding = |severity: &str, summary: &str| json!({"severity": severity, "summary": summary, "evidence": [], "controls": []});
        let steps = [
            past(Status::Ok, vec![finding("low", "small"), finding("high", "big")]),
            past(Status::Unavailable, Vec::new()),
        ];
        let input = Input { format: Format::Md, template: Some("Baseline".to_owned()) };
        let text = markdown(&content(&FixtureCx::empty(), &input, &steps)).expect("renders");
        assert!(text.find("HIGH: big") < text.find("LOW: small"), "{text}");
        for expected in [
            "# Baseline",
            "1 of 2 steps gave a result (50.0 % coverage); 2 findings",
            "| unavailable | 3 | 0 | a \\| b |",
        ] {
            assert!(text.contains(expected), "{expected} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_format_that_is_not_built_is_unavailable() {
        let output = ReportRender.call(&FixtureCx::empty(), &json!({"format": "sarif"}));
        assert_eq!(output.status, Status::Unavailable);
    }
}
