//! Tools: the list, and one tool with its schemas.
use crate::api::tool::Tool;
use crate::cli::render::table::{Row, Style, Tone, duration, facts, shortened, table};

pub fn list(tools: &[Tool], style: Style) -> String {
    let row = |tool: &Tool| {
        let tone = if tool.built { Tone::Plain } else { Tone::Faint };
        let built = if tool.built { "yes" } else { "no" };
        let cells = [
            tool.id.to_string(),
            tool.kind.clone(),
            built.to_owned(),
            tool.agents.len().to_string(),
            shortened(&tool.privileges, 32),
            shortened(&tool.what, 80),
        ];
        Row::new(tone, cells)
    };
    let rows: Vec<Row> = tools.iter().map(row).collect();
    table(style, &["tool", "kind", "built", "agents", "needs", "what"], &rows)
}

pub fn show(tool: &Tool, style: Style) -> String {
    let agents = tool.agents.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let mut out = style.paint(Tone::Heading, tool.id.as_str());
    out.push('\n');
    out.push_str(&facts(&[
        ("what", tool.what.clone()),
        ("kind", tool.kind.clone()),
        ("built", yes(tool.built)),
        ("needs", tool.privileges.clone()),
        ("timeout", duration(tool.timeout_ms as f64)),
        ("repeatable", yes(tool.repeatable)),
        ("teaches", yes(tool.learn)),
        ("agents", agents),
    ]));
    for (name, schema) in [("input", &tool.inputs), ("output", &tool.outputs)] {
        out.push_str(&format!("\n{name}\n{schema:#}\n"));
    }
    out
}
