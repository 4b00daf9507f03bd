//! Reads Rust just well enough for the house rules: what is code, what is a comment, what is only for tests.

/// Marks an item that is compiled for tests only.
const FOR_TESTS: &str = "#[cfg(test)]";

/// The code without any white space.
pub fn squeezed(code: &str) -> String {
    code.split_whitespace().collect()
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub fn has_word(code: &str, word: &str) -> bool {
    code.split(|c| !is_word(c)).any(|w| w == word)
}

/// The word after each occurrence of `prefix`.
pub fn after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    code.match_indices(prefix)
        .filter(|(at, _)| !code[..*at].ends_with(|c| is_word(c) || c == '$' || c == ':'))
        .map(|(at, _)| code[at + prefix.len()..].split(|c| !is_word(c)).next().unwrap_or_default())
        .collect()
}

/// The text without comments and without what is inside strings and characters; lines stay where they are.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' if !code.ends_with(is_word) || code.ends_with('b') => raw_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        let (gone, left) = rest.split_at(skip.max(c.len_utf8()));
        if skip == 0 {
            code.push(c);
        } else {
            code.extend(gone.chars().filter(|c| *c == '\n'));
        }
        rest = left;
    }
    code
}

/// The code without the items that are for tests only.
pub fn production_of(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(FOR_TESTS) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[item_length(rest)..];
    }
    kept + rest
}

/// Modules in files of their own that are for tests only, as the text declares them: by name, or by path.
pub fn test_modules(text: &str) -> Vec<&str> {
    text.match_indices(FOR_TESTS)
        .map(|(at, mark)| text[at + mark.len()..].trim_start())
        .filter_map(|item| match item.strip_prefix("#[path = \"") {
            Some(path) => path.split('"').next(),
            None => {
                let item = item.strip_prefix("pub ").unwrap_or(item).strip_prefix("mod ")?;
                item.split_once(';').map(|(name, _)| name).filter(|name| name.chars().all(is_word))
            }
        })
        .collect()
}

/// Length of the item that starts here: to its semicolon, or over its braces.
fn item_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    for at in 0..rest.len() {
        let Some(tail) = rest.get(at..) else { continue };
        if tail.starts_with("/*") {
            depth += 1;
        } else if tail.starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at + 2;
            }
        }
    }
    rest.len()
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a raw string that starts here, 0 when none does.
fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let body = 2 + hashes;
    rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
}

/// Length of a character literal that starts here, 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((_, _))) => chars.find(|(_, c)| *c == '\'').map_or(rest.len(), |(at, _)| at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}
