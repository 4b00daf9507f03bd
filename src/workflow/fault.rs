//! What is wrong with a document, and where; and the limits it is held against.
use std::fmt;

/// One thing wrong with a document. A check reports all of them at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", if pointer.is_empty() { "/" } else { pointer.as_str() })]
pub struct Fault {
    /// JSON Pointer (RFC 6901) into the document; empty for the whole.
    pub pointer: String,
    pub detail: String,
}

impl Fault {
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Fault { pointer: pointer.into(), detail: detail.into() }
    }
}

/// How large a workflow may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_steps: usize,
    /// Of one value as JSON text: the inputs, a step's input, a step's result.
    pub max_value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_steps: 1_000, max_value_bytes: 4 << 20 }
    }
}

/// The pointer to `key` below `parent`.
pub fn below(parent: &str, key: impl fmt::Display) -> String {
    let key = key.to_string();
    if key.contains(['~', '/']) {
        format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
    } else {
        format!("{parent}/{key}")
    }
}

/// `; did you mean ...`, where a candidate is near enough to be meant, else nothing.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let lower = word.to_lowercase();
    let farthest = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= farthest && *distance < candidate.chars().count())
        .min()
        .map_or_else(String::new, |(_, nearest)| format!("; did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_what_rfc_6901_says() {
        assert_eq!(below("/steps", 3), "/steps/3");
        assert_eq!(below("", "a/b~c"), "/a~1b~0c");
    }

    #[test]
    fn only_near_words_are_suggested() {
        assert_eq!(did_you_mean("tiemout", ["timeout", "tool"]), "; did you mean `timeout`?");
        assert_eq!(did_you_mean("pacer", ["PACER", "PATCHER"]), "; did you mean `PACER`?");
        assert_eq!(did_you_mean("colour", ["timeout", "tool"]), "");
        assert_eq!(did_you_mean("x", ["id"]), "", "two edits make any two letters");
    }
}
