//! Who should do a task: the choice with its figures, the runners-up, the reasons.
use crate::api::learner::{Prediction, Ranked};
use crate::cli::render::table::{Row, Style, Tone, clean, facts, percent, table};

pub fn show(prediction: &Prediction, top: usize, style: Style) -> String {
    let (tone, name) = match &prediction.agent_id {
        Some(agent) => (Tone::Heading, agent.to_string()),
        None => (Tone::Warning, "no agent is confident".to_owned()),
    };
    let mut out = style.paint(tone, &name);
    out.push('\n');
    let explored = if prediction.explored { "yes: tried to learn more of it" } else { "no" };
    out.push_str(&facts(&[
        ("confidence", percent(Some(prediction.confidence))),
        ("at least", percent(Some(prediction.lower))),
        ("past runs", format!("{:.1}", prediction.n_eff)),
        ("explored", explored.to_owned()),
    ]));
    out.push('\n');
    let row = |ranked: &Ranked| {
        Row::new(
            Tone::Plain,
            [
                ranked.agent_id.to_string(),
                percent(Some(ranked.confidence)),
                percent(Some(ranked.lower)),
                format!("{:.1}", ranked.n_eff),
            ],
        )
    };
    let rows: Vec<Row> = prediction.ranking.iter().take(top).map(row).collect();
    out.push_str(&table(style, &["agent", "confidence", "at least", "past runs"], &rows));
    out.push('\n');
    for reason in &prediction.reasons {
        out.push_str(&format!("- {}\n", clean(reason)));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_choice_comes_first_then_the_others_then_the_reasons() {
        let prediction: Prediction = serde_json::from_value(json!({
            "agent_id": "DISK-DOCTOR", "confidence": 0.9, "lower": 0.71, "n_eff": 12.25, "explored": false,
            "reasons": ["its description is near the task"],
            "ranking": [{"agent_id": "DISK-DOCTOR", "confidence": 0.9, "lower": 0.71, "n_eff": 12.25},
                {"agent_id": "PACER", "confidence": 0.05, "lower": 0.0, "n_eff": 0.0}],
        }))
        .expect("a prediction");
        let text = show(&prediction, 1, Style::default());
        assert!(text.starts_with("DISK-DOCTOR\n"), "{text}");
        assert!(text.contains("90") && text.contains("12.2") && !text.contains("PACER"), "{text}");
        assert!(text.ends_with("- its description is near the task\n"), "{text}");
        let nobody = Prediction { agent_id: None, ..prediction };
        assert!(show(&nobody, 5, Style::default()).starts_with("no agent is confident\n"));
    }
}
