//! `learn.stats`: what is normal for an agent or a tool, and whether that has changed.
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::ids::{AgentId, ToolId};
use crate::learning::stats::{ENOUGH, Summary, summarise};
use crate::toolkit::cx::ToolCx;
use crate::toolkit::learned::{Metric, Sample};
use crate::toolkit::output::{Output, Reason, Status};
use crate::toolkit::spec::{Tool, ToolSpec};
use crate::tools::evidence::{Reader, Started, sha256};
use crate::tools::input;
use crate::tools::schema;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// An agent (`PACER`), a tool (`load.read`), or an agent with a tool (`PACER/load.read`); all runs if left out.
    #[serde(default)]
    subject: Option<String>,
    /// `execution_time_ms` if left out.
    #[serde(default)]
    metric: Metric,
}

pub struct LearnStats;

impl Tool for LearnStats {
    fn spec(&self) -> ToolSpec {
        let what = "Learned baselines and outcome statistics";
        // It reads about others; learning from that would be learning from itself.
        ToolSpec {
            learn: false,
            ..schema::read_only::<Input, Summary>("learn.stats", what, "internal", Duration::from_secs(30))
        }
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        // Called without anything it looks at all runs.
        let input = if input.is_null() { &Value::Object(serde_json::Map::new()) } else { input };
        stats(cx, input).unwrap_or_else(|output| *output)
    }
}

fn stats(cx: &ToolCx, input: &Value) -> Result<Output, Box<Output>> {
    let Input { subject, metric } = input::parse(input)?;
    let (agent, tool) = subject.as_deref().map_or(Ok((None, None)), parsed)?;
    let started = Started::now(cx);
    let samples = cx.learning.samples(agent.as_ref(), tool.as_ref(), metric).map_err(|absent| {
        let reason = Reason::new("no_facility", absent.facility.as_str(), absent.detail.as_str());
        Box::new(Output::without_data(Status::Unavailable, reason))
    })?;
    let bytes = read_as(&samples);
    let mut reader = Reader::new(cx);
    let source = format!("self:agent_performance_metrics of {}", subject.as_deref().unwrap_or("all"));
    reader.push(started.evidence(cx, source, sha256(bytes.as_bytes()), bytes.len() as u64, false));
    let summary = summarise(&samples);
    if summary.n < ENOUGH {
        let detail = format!("{} runs are known and {ENOUGH} are needed for a judgement", summary.n);
        reader.gap_because("advice", Reason::new("insufficient_data", "learned metrics", detail));
    }
    Ok(reader.finish(summary))
}

fn parsed(subject: &str) -> Result<(Option<AgentId>, Option<ToolId>), Box<Output>> {
    let fault = |bad: crate::ids::BadName| input::invalid("subject", bad.to_string());
    if let Some((agent, tool)) = subject.split_once('/') {
        return Ok((Some(AgentId::new(agent).map_err(fault)?), Some(ToolId::new(tool).map_err(fault)?)));
    }
    match ToolId::new(subject) {
        Ok(tool) => Ok((None, Some(tool))),
        Err(_) => Ok((Some(AgentId::new(subject).map_err(fault)?), None)),
    }
}

/// The rows as text, one a line: what the digest of the evidence is over.
fn read_as(samples: &[Sample]) -> String {
    samples.iter().map(|sample| format!("{} {:?}\n", sample.value, sample.success)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::toolkit::cx::NotAvailable;
    use crate::toolkit::learned::Learning;
    use crate::tools::fixture_cx::FixtureCx;

    /// So many runs of PACER with `load.read`, and none of others.
    struct Runs(usize);

    impl Learning for Runs {
        fn samples(
            &self,
            agent: Option<&AgentId>,
            tool: Option<&ToolId>,
            _: Metric,
        ) -> Result<Vec<Sample>, NotAvailable> {
            let ours =
                agent.is_none_or(|id| id.as_str() == "PACER") && tool.is_none_or(|id| id.as_str() == "load.read");
            let n = if ours { self.0 } else { 0 };
            Ok((0..n).map(|at| Sample { value: at as f64, success: Some(at % 4 != 0) }).collect())
        }
    }

    fn call(runs: usize, input: Value) -> Output {
        let cx = ToolCx { learning: Arc::new(Runs(runs)), ..FixtureCx::empty() };
        LearnStats.call(&cx, &input)
    }

    #[test]
    fn a_subject_is_an_agent_a_tool_or_both() {
        for (subject, n) in [
            (json!({}), 40),
            (Value::Null, 40),
            (json!({"subject": "PACER"}), 40),
            (json!({"subject": "load.read", "metric": "cpu_ms"}), 40),
            (json!({"subject": "PACER/load.read"}), 40),
            (json!({"subject": "TESTBED"}), 0),
        ] {
            assert_eq!(call(40, subject.clone()).data["n"], n, "{subject}");
        }
        let wrong = call(40, json!({"subject": "no such thing"}));
        assert_eq!(wrong.reason.expect("a reason").code, "invalid_input");
    }

    #[test]
    fn few_runs_are_said_to_be_few() {
        let output = call(3, json!({"subject": "PACER"}));
        assert_eq!(output.status, Status::Degraded);
        assert_eq!(output.data["advice"], json!([]));
        assert_eq!(output.data["success_beta"], json!({"a": 3.0, "b": 2.0}));
        assert_eq!(call(40, json!({"subject": "PACER"})).status, Status::Ok);
    }

    #[test]
    fn without_the_database_it_is_unavailable() {
        let output = LearnStats.call(&FixtureCx::empty(), &json!({}));
        assert_eq!(output.status, Status::Unavailable);
    }
}
