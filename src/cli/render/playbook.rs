//! Playbooks: the list, and one playbook as its document.
use crate::api::playbook::Playbook;
use crate::cli::render::table::{Row, Style, Tone, or_dash, shortened, table};

pub fn list(playbooks: &[Playbook], style: Style) -> String {
    if playbooks.is_empty() {
        return "no playbooks\n".to_owned();
    }
    let row = |playbook: &Playbook| {
        let inputs = playbook.inputs.as_object().map(|inputs| inputs.keys().cloned().collect::<Vec<_>>().join(" "));
        let cells = [
            playbook.name.clone(),
            playbook.mode.clone(),
            playbook.steps.to_string(),
            or_dash(inputs.filter(|inputs| !inputs.is_empty())),
            shortened(playbook.description.as_deref().unwrap_or("-"), 90),
        ];
        Row::new(Tone::Plain, cells)
    };
    let rows: Vec<Row> = playbooks.iter().map(row).collect();
    table(style, &["playbook", "mode", "steps", "inputs", "what"], &rows)
}

/// As YAML, the way playbooks are written.
pub fn show(playbook: &Playbook) -> String {
    let document = playbook.document.as_ref().map(serde_norway::to_string);
    document.and_then(Result::ok).unwrap_or_else(|| format!("{}: no document\n", playbook.name))
}
