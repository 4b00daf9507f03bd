//! What can be wrong with an agent's file: where, what, and how to mend it.

/// One fault of one file. A file is refused with all of its faults at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ProfileFault {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("an agent's file is named after the agent, in lower case, and ends in `.md`: pacer.md")]
    FileName,
    #[error("the file does not begin with front matter; start with a line `---`, then the keys, then a line `---`")]
    NoFrontMatter,
    #[error("the front matter is never closed; put a line `---` between the keys and the instructions")]
    OpenFrontMatter,
    #[error("the front matter is not valid YAML: {detail}")]
    Syntax { detail: String },
    #[error("`{key}` must be {expected}, not {found}")]
    WrongType { key: String, expected: &'static str, found: String },
    #[error("key `{key}` is missing; add {example}")]
    MissingKey { key: String, example: &'static str },
    #[error("unknown key `{key}`{}", or_hint(.hint, .allowed))]
    UnknownKey { key: String, hint: Option<String>, allowed: &'static [&'static str] },
    #[error("`{key}` is `{value}`; allowed: {allowed}")]
    BadValue { key: String, value: String, allowed: String },
    #[error("name `{name}` is not an agent's name; it is the id in lower case: {rule}")]
    BadName { name: String, rule: &'static str },
    #[error("name `{name}` and the file's name differ; rename the file to `{name}.md` or write `name: {stem}`")]
    NameIsNotFile { name: String, stem: String },
    #[error("unknown tool `{tool}`{}", meant(.nearest))]
    UnknownTool { tool: String, nearest: Option<String> },
    #[error("tool `{tool}` is listed twice; remove one")]
    DuplicateTool { tool: String },
    #[error("`{key}` is empty; write {example}")]
    Empty { key: String, example: &'static str },
    #[error("the file has no instructions; write below the front matter how the agent works")]
    NoInstructions,
    #[error("agent `{name}` is defined already in {first}; remove one of the two files")]
    DuplicateAgent { name: String, first: String },
}

fn or_hint(hint: &Option<String>, allowed: &[&str]) -> String {
    match hint {
        Some(hint) => format!("; {hint}"),
        None => format!("; allowed here: {}", allowed.join(", ")),
    }
}

fn meant(nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; `dsmil tools list` shows those there are".to_owned(),
    }
}

/// The candidate that a mistyped word was probably meant to be.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters wrong is still a slip of the fingers; more is another word.
    let tolerance = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_another_word_does_not() {
        let words = ["policy", "group", "timeout", "tools"];
        assert_eq!(nearest("polcy", words), Some("policy"));
        assert_eq!(nearest("tool", words), Some("tools"));
        assert_eq!(nearest("priority", words), None);
    }
}
