//! Plain tables, colours by meaning, and how numbers and times are written.
use std::fmt::Write;

use chrono::{DateTime, Utc};
use comfy_table::{ContentArrangement, Table};

/// How to write: decided once, where the output goes is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
}

/// What a line means. Never by colour alone: each line says it in words too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Faint,
    Warning,
    Bad,
    Heading,
}

impl Style {
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Faint => "2",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Heading => "1",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A row and what it means.
pub struct Row {
    pub tone: Tone,
    pub cells: Vec<String>,
}

impl Row {
    pub fn new(tone: Tone, cells: impl IntoIterator<Item = String>) -> Self {
        Row { tone, cells: cells.into_iter().collect() }
    }
}

/// Columns aligned by spaces, one line per row, a heading in capitals. Ends with a line break.
pub fn table(style: Style, heading: &[&str], rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading.iter().map(|name| name.to_uppercase()));
    table.add_rows(rows.iter().map(|row| row.cells.iter().map(|cell| clean(cell)).collect::<Vec<_>>()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let tones = std::iter::once(Tone::Heading).chain(rows.iter().map(|row| row.tone));
    let text = table.to_string();
    text.lines().zip(tones).fold(String::new(), |mut out, (line, tone)| {
        out.push_str(&style.paint(tone, line.trim_end()));
        out.push('\n');
        out
    })
}

/// `key  value` lines, the values aligned.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    facts.iter().fold(String::new(), |mut out, (key, value)| {
        line(&mut out, format_args!("{key:width$}  {}", clean(value)));
        out
    })
}

/// Appends a line; writing to a string cannot fail.
pub fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    if out.write_fmt(text).is_ok() {
        out.push('\n');
    }
}

/// One line without control characters: names from the host must not steer the terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim_end().to_owned()
}

pub fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `-` for what is not there.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

pub fn percent(share: Option<f64>) -> String {
    or_dash(share.map(|share| format!("{:.0} %", share * 100.0)))
}

/// Milliseconds as people say them.
pub fn duration(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => "<1 ms".to_owned(),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 59_950.0 => format!("{:.1} s", ms / 1_000.0),
        ms => {
            let seconds = (ms / 1_000.0).round() as u64;
            format!("{}m {:02}s", seconds / 60, seconds % 60)
        }
    }
}

pub fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_art() {
        let rows = [
            Row::new(Tone::Good, ["a".to_owned(), "up".to_owned()]),
            Row::new(Tone::Bad, ["long-name".to_owned(), "down\x1b[2J\n".to_owned()]),
        ];
        assert_eq!(
            table(Style::default(), &["name", "state"], &rows),
            "NAME       STATE\na          up\nlong-name  down [2J\n"
        );
    }

    #[test]
    fn colour_covers_whole_lines_and_only_where_asked_for() {
        let rows = [Row::new(Tone::Bad, ["x".to_owned()])];
        let coloured = table(Style { colour: true }, &["n"], &rows);
        assert_eq!(coloured, "\x1b[1mN\x1b[0m\n\x1b[31mx\x1b[0m\n");
    }

    #[test]
    fn durations_are_rounded_as_people_say_them() {
        for (ms, text) in [
            (0.2, "<1 ms"),
            (12.4, "12 ms"),
            (999.4, "999 ms"),
            (999.6, "1.0 s"),
            (59_949.0, "59.9 s"),
            (59_990.0, "1m 00s"),
            (3_725_000.0, "62m 05s"),
        ] {
            assert_eq!(duration(ms), text, "{ms}");
        }
    }
}
