//! Takes secrets out of command lines, units and other texts before they leave a tool.
//!
//! Redacted are: values of names like `password`, `token`, `secret` or `..key` behind `=`, `:` or as the next word of an
//! option; `Authorization` headers and `Bearer` words; PEM blocks; the user part of URLs.
const MARK: &str = "[redacted]";
const SECRET_PARTS: [&str; 8] =
    ["passw", "passphrase", "secret", "token", "apikey", "credential", "authorization", "cookie"];
const SECRET_WORDS: [&str; 5] = ["key", "pwd", "pass", "auth", "psk"];
const SCHEMES: [&str; 5] = ["bearer", "basic", "digest", "negotiate", "token"];

/// The text without what looks like a secret.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        rest = step(rest, &mut out);
    }
    out
}

/// Copies or redacts one piece and gives what is left.
fn step<'a>(rest: &'a str, out: &mut String) -> &'a str {
    if rest.starts_with("-----BEGIN ") {
        out.push_str(MARK);
        return after_pem(rest);
    }
    if let Some(authority) = rest.strip_prefix("://") {
        out.push_str("://");
        return redact_userinfo(authority, out);
    }
    let word_end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
    if word_end == 0 {
        let length = rest.chars().next().map_or(0, char::len_utf8);
        out.push_str(&rest[..length]);
        return &rest[length..];
    }
    let (name, after) = rest.split_at(word_end);
    out.push_str(name);
    let lower = name.to_ascii_lowercase();
    let value = match value_of(name, after) {
        Some(value) if is_secret(&lower) => Some(value),
        _ if lower == "bearer" => after.strip_prefix(' '),
        _ => None,
    };
    let Some(value) = value.filter(|value| !value.is_empty()) else { return after };
    out.push_str(&after[..after.len() - value.len()]);
    redact_value(value, out)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn is_secret(lower: &str) -> bool {
    let squeezed: String = lower.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let last = lower.rsplit(['-', '_', '.']).next().unwrap_or(lower);
    SECRET_PARTS.iter().any(|part| squeezed.contains(part)) || SECRET_WORDS.contains(&last)
}

/// What follows a name as its value: behind `=` or `:`, or the next word when the name is an option.
fn value_of<'a>(name: &str, after: &'a str) -> Option<&'a str> {
    let bare = after.strip_prefix(['"', '\'']).unwrap_or(after);
    let spaced = bare.trim_start_matches([' ', '\t']);
    if let Some(value) = spaced.strip_prefix(['=', ':']) {
        // `key://` is a URL, not a value
        let value = (!value.starts_with("//")).then_some(value)?;
        return Some(value.trim_start_matches([' ', '\t']));
    }
    let is_option = name.starts_with('-') && after.starts_with([' ', '\0']);
    is_option.then(|| after.trim_start_matches([' ', '\0'])).filter(|value| !value.starts_with('-'))
}

fn redact_value<'a>(value: &'a str, out: &mut String) -> &'a str {
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inner = &value[1..];
        let end = inner.find(quote).unwrap_or(inner.len());
        out.push(quote);
        out.push_str(MARK);
        return &inner[end..];
    }
    let end = value.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ';' | ',' | '\0' | '}'));
    let (word, after) = value.split_at(end.unwrap_or(value.len()));
    if word.starts_with("-----BEGIN") {
        out.push_str(MARK);
        return after_pem(value);
    }
    if SCHEMES.contains(&word.to_ascii_lowercase().as_str()) && after.starts_with(' ') {
        out.push_str(word);
        out.push(' ');
        return redact_value(after.trim_start_matches(' '), out);
    }
    if !word.is_empty() {
        out.push_str(MARK);
    }
    after
}

fn redact_userinfo<'a>(authority: &'a str, out: &mut String) -> &'a str {
    let end = authority.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''));
    match authority[..end.unwrap_or(authority.len())].rfind('@') {
        Some(at) => {
            out.push_str(MARK);
            &authority[at..]
        }
        None => authority,
    }
}

/// A block that does not end is secret to the end of the text.
fn after_pem(text: &str) -> &str {
    let Some(end) = text.find("-----END ") else { return "" };
    let tail = &text[end + "-----END ".len()..];
    tail.find("-----").map_or("", |dashes| &tail[dashes + 5..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        for (text, expected) in [
            ("/usr/bin/app --verbose -p 80", "/usr/bin/app --verbose -p 80"),
            ("app --password=hunter2 x", "app --password=[redacted] x"),
            ("app --password hunter2 x", "app --password [redacted] x"),
            ("app --token --verbose", "app --token --verbose"),
            ("API_KEY=abc DEBUG=1", "API_KEY=[redacted] DEBUG=1"),
            ("curl https://u:p@host/x?token=abc&n=1", "curl https://[redacted]@host/x?token=[redacted]&n=1"),
            ("curl https://host/a@b", "curl https://host/a@b"),
            ("-H Authorization: Bearer abc.def https://h/", "-H Authorization: Bearer [redacted] https://h/"),
            ("-H 'Authorization: Basic Zm9v' x", "-H 'Authorization: Basic [redacted]' x"),
            (r#"{"password":"a b","n":1}"#, r#"{"password":"[redacted]","n":1}"#),
            ("x -----BEGIN KEY-----\nabc\n-----END KEY----- y", "x [redacted] y"),
            ("x -----BEGIN KEY-----\nabc", "x [redacted]"),
            ("keyboard=us monkey=1 keyring x", "keyboard=us monkey=1 keyring x"),
            ("ssh-key=abc, next", "ssh-key=[redacted], next"),
            ("bearer", "bearer"),
        ] {
            assert_eq!(redact(text), expected, "from {text}");
        }
    }

    proptest! {
        #[test]
        fn a_planted_secret_never_survives(before in "[ a-z/=-]{0,20}", secret in "Q[0-9]{8}Q", form in 0_usize..7) {
            let planted = match form {
                0 => format!("{before} --password={secret}"),
                1 => format!("{before} --api-key {secret}"),
                2 => format!("{before} token: {secret}"),
                3 => format!("{before} Authorization: Bearer {secret}"),
                4 => format!("{before} https://me:{secret}@host/"),
                5 => format!("{before} -----BEGIN X-----{secret}-----END X-----"),
                _ => format!("{before} \"secret\": \"{secret}\""),
            };
            prop_assert!(!redact(&planted).contains(&secret), "{planted} gave {}", redact(&planted));
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            redact(&text);
        }
    }
}
