//! Takes a Markdown file apart into front matter and body, and finds the line on which a key stands.
//!
//! The YAML library tells places of syntax errors only, so a fault in a value is located by looking for its key again.
use crate::agents::fault::Problem;

/// The two parts of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What stands between the `---` lines, the first line of which is line 2 of the file.
    pub yaml: &'a str,
    pub body: &'a str,
    /// The line of the file on which the body begins.
    pub body_line: usize,
}

/// Where the YAML begins: below the first `---`.
const FIRST: usize = 2;

pub fn split(text: &str) -> Result<Parts<'_>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n');
    let opening = lines.next().filter(|line| is_marker(line)).ok_or(Problem::NoFrontMatter)?;
    let mut end = opening.len();
    for (index, line) in lines.enumerate() {
        if is_marker(line) {
            let yaml = &text[opening.len()..end];
            return Ok(Parts { yaml, body: &text[end + line.len()..], body_line: FIRST + index + 1 });
        }
        end += line.len();
    }
    Err(Problem::OpenFrontMatter)
}

fn is_marker(line: &str) -> bool {
    line.trim_end() == "---"
}

impl Parts<'_> {
    /// The YAML with its lines numbered as in the file, so that the library's error messages name the right ones.
    pub fn numbered_yaml(&self) -> String {
        format!("{}{}", "\n".repeat(FIRST - 1), self.yaml)
    }

    /// The line of a key at the left margin; the opening `---` if it is not found.
    pub fn line_of(&self, key: &str) -> usize {
        self.lines().find(|(_, line)| key_at(line, key) == Some(0)).map_or(1, |(number, _)| number)
    }

    /// The line of a key within the section of another; the section's own line if it is not found.
    pub fn line_within(&self, section: &str, key: &str) -> usize {
        let found = self.section(section).find(|(_, line)| key_at(line, key).is_some());
        found.map_or_else(|| self.line_of(section), |(number, _)| number)
    }

    /// The line on which `word` stands for the `nth` time (from 0) behind a key of a section; else the key's line.
    pub fn line_of_word(&self, section: &str, key: &str, word: &str, nth: usize) -> usize {
        let key_line = self.line_within(section, key);
        let words = self.section(section).filter(|(number, _)| *number >= key_line).flat_map(|(number, line)| {
            let words = line.split(|c: char| c.is_whitespace() || "[]{},\"'".contains(c));
            words.filter(|found| *found == word).map(move |_| number)
        });
        words.into_iter().nth(nth).unwrap_or(key_line)
    }

    /// Lines with their numbers in the file, comments cut off.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.yaml.lines().enumerate().map(|(index, line)| {
            let code = if line.trim_start().starts_with('#') { "" } else { line };
            (FIRST + index, code.split_once(" #").map_or(code, |(before, _)| before))
        })
    }

    /// The lines of a section: from its key to the next thing at the left margin.
    fn section(&self, key: &str) -> impl Iterator<Item = (usize, &str)> {
        let start = self.line_of(key);
        self.lines()
            .skip_while(move |(number, _)| *number < start)
            .enumerate()
            .take_while(|(index, (_, line))| {
                *index == 0 || !line.starts_with(|c: char| c.is_alphanumeric() || c == '"')
            })
            // The section's own name is no key of the section.
            .map(|(index, (number, line))| (number, if index == 0 { after_colon(line) } else { line }))
    }
}

fn after_colon(line: &str) -> &str {
    line.split_once(':').map_or("", |(_, rest)| rest)
}

/// Where in a line `key:` stands, bare or quoted.
fn key_at(line: &str, key: &str) -> Option<usize> {
    line.match_indices(key).map(|(at, _)| at).find_map(|at| {
        let before = line[..at].chars().next_back();
        let quoted = matches!(before, Some('"' | '\''));
        let starts = quoted || before.is_none_or(|c| c.is_whitespace() || c == '{' || c == ',');
        let after = line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
        (starts && after.starts_with(':')).then(|| if quoted { at - 1 } else { at })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "---\nname: pacer # group: no\n\"description\": a name: of sorts\ndsmil:\n  # policy: neither\n  \
                        { group: core, policy: ro,\n    tools: [a.b, c.d,\n      a.b] }\ncolor: red\n---\n\nBody.\n";

    #[test]
    fn a_file_comes_apart_into_keys_and_body() {
        let parts = split(FILE).unwrap();
        assert!(parts.yaml.starts_with("name: pacer") && parts.yaml.ends_with("color: red\n"));
        assert_eq!((parts.body, parts.body_line), ("\nBody.\n", 11));
        assert_eq!(split("\u{feff}---\r\na: 1\r\n---\r\nB").map(|p| p.yaml), Ok("a: 1\r\n"));
        assert_eq!(split("---\n---").map(|p| (p.yaml, p.body)), Ok(("", "")));
    }

    #[test]
    fn a_file_without_both_markers_is_refused() {
        assert_eq!(split(""), Err(Problem::NoFrontMatter));
        assert_eq!(split("# Pacer\n---\n---\n"), Err(Problem::NoFrontMatter));
        assert_eq!(split("---\nname: pacer\n"), Err(Problem::OpenFrontMatter));
    }

    #[test]
    fn keys_are_found_where_they_stand() {
        let parts = split(FILE).unwrap();
        for (key, line) in [("name", 2), ("description", 3), ("dsmil", 4), ("color", 9), ("absent", 1)] {
            assert_eq!(parts.line_of(key), line, "{key}");
        }
        for (key, line) in [("group", 6), ("policy", 6), ("tools", 7), ("color", 4), ("dsmil", 4)] {
            assert_eq!(parts.line_within("dsmil", key), line, "{key}");
        }
    }

    #[test]
    fn words_of_a_list_are_found_one_by_one() {
        let parts = split(FILE).unwrap();
        for (word, nth, line) in [("a.b", 0, 7), ("a.b", 1, 8), ("c.d", 0, 7), ("a", 0, 7), ("a.b", 2, 7)] {
            assert_eq!(parts.line_of_word("dsmil", "tools", word, nth), line, "{word} {nth}");
        }
    }
}
