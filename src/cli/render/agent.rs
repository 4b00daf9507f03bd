//! Agents: the list, and one agent with its instructions.
use crate::api::agent::Agent;
use crate::api::agent::AgentState;
use crate::api::agent::BreakerRules;
use crate::cli::render::table::{Row, Style, Tone, clean, duration, facts, or_dash, percent, table};

pub fn list(agents: &[Agent], style: Style) -> String {
    let row = |agent: &Agent| {
        Row::new(
            tone(agent.state),
            [
                agent.agent_id.to_string(),
                word(agent.group),
                word(agent.policy),
                agent.state.as_str().to_owned(),
                agent.breaker.state.clone(),
                agent.queue.to_string(),
                agent.restarts.to_string(),
                or_dash(agent.p50_ms.map(duration)),
                or_dash(agent.p95_ms.map(duration)),
                percent(agent.success_rate),
                or_dash(agent.tools.first()),
            ],
        )
    };
    let heading =
        ["agent", "group", "policy", "state", "breaker", "queue", "restarts", "p50", "p95", "success", "default tool"];
    table(style, &heading, &agents.iter().map(row).collect::<Vec<_>>())
}

pub fn show(agent: &Agent, style: Style) -> String {
    let mut out = style.paint(Tone::Heading, &format!("{}  {}", agent.agent_id, agent.state.as_str()));
    out.push('\n');
    let retry = agent.breaker.retry_after_s.map(|s| format!(", retry after {s:.0} s")).unwrap_or_default();
    let tools = agent.tools.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    out.push_str(&facts(&[
        ("use", agent.description.clone()),
        ("group", word(agent.group)),
        ("domain", agent.domain.clone()),
        ("policy", word(agent.policy)),
        ("criticality", word(agent.criticality)),
        ("tools", tools),
        ("timeout", duration(agent.timeout_ms as f64)),
        ("breaker", format!("{}{retry}", agent.breaker.state)),
        ("opens after", or_dash(agent.breaker_rules.as_ref().map(opens_after))),
        ("queue", agent.queue.to_string()),
        ("restarts", agent.restarts.to_string()),
        ("steps", format!("{} done, {} failed", or_dash(agent.done), or_dash(agent.failed))),
        ("p50 / p95", format!("{} / {}", or_dash(agent.p50_ms.map(duration)), or_dash(agent.p95_ms.map(duration)))),
        ("success", percent(agent.success_rate)),
        ("last exit", or_dash(agent.last_exit.as_ref())),
    ]));
    if let Some(instructions) = &agent.instructions {
        out.push('\n');
        for text in instructions.trim().lines() {
            out.push_str(&clean(text));
            out.push('\n');
        }
    }
    out
}

fn opens_after(rules: &BreakerRules) -> String {
    let share = |share: f64| percent(Some(share));
    format!(
        "{} failures in a row, or {} failed or {} slower than {} of {} to {} calls; for {}",
        rules.in_a_row,
        share(rules.failed_share),
        share(rules.slow_share),
        duration(rules.slow_ms as f64),
        rules.min_calls,
        rules.window,
        duration(rules.open_for_ms as f64),
    )
}

/// The word that the API uses for a value.
fn word(value: impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn tone(state: AgentState) -> Tone {
    match state {
        AgentState::Up => Tone::Plain,
        AgentState::Restarting | AgentState::HalfOpen => Tone::Warning,
        AgentState::Open | AgentState::Down => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_that_has_done_nothing_has_no_figures() {
        let agent: Agent = serde_json::from_value(json!({
            "agent_id": "PACER", "group": "core", "domain": "load", "description": "Watches load.",
            "tools": ["load.read"], "policy": "ro", "criticality": "normal", "timeout_ms": 20000, "concurrency": 1,
            "state": "open", "breaker": {"state": "open", "retry_after_s": 12.0}, "queue": 0, "restarts": 3,
            "p50_ms": null, "p95_ms": null, "success_rate": null, "done": null, "failed": null, "last_exit": null
        }))
        .expect("an agent");
        let expected = "\
AGENT  GROUP  POLICY  STATE  BREAKER  QUEUE  RESTARTS  P50  P95  SUCCESS  DEFAULT TOOL
PACER  core   ro      open   open     0      3         -    -    -        load.read
";
        assert_eq!(list(std::slice::from_ref(&agent), Style::default()), expected);
        assert!(show(&agent, Style::default()).contains("breaker      open, retry after 12 s\n"));
    }
}
