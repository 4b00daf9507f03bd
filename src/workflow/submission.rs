//! A submission that may be sent twice: the key that tells it is the same, and what it carried.
use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::audit::entry::canonical;
use crate::ids::Digest;

/// As in the header `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to 255 visible ASCII characters, in quotes or not")]
pub struct BadKey;

impl IdempotencyKey {
    /// A structured string (RFC 9651) stands for what is between its quotes; anything else for itself.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        let key = match text.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).ok_or(BadKey)?,
            None => text.to_owned(),
        };
        let admitted = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if admitted { Ok(IdempotencyKey(key)) } else { Err(BadKey) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        IdempotencyKey::parse(text)
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What follows the first quote, up to the last, where `\"` and `\\` stand for the second of the two.
fn unquoted(rest: &str) -> Option<String> {
    let mut key = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(key),
            '\\' => key.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

/// One key of one principal, with the hash of the body that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    pub key: IdempotencyKey,
    pub body: Digest,
}

impl Submission {
    /// Bodies that differ in white space or in the order of their keys are the same.
    pub fn new(key: IdempotencyKey, body: &Value) -> Self {
        Submission { key, body: Digest(Sha256::digest(canonical(body)).into()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_the_same_with_and_without_quotes() {
        let check = |text: &str, key: Option<&str>| {
            assert_eq!(IdempotencyKey::parse(text).ok().as_ref().map(IdempotencyKey::as_str), key, "{text}");
        };
        check("8e03978e-40d5", Some("8e03978e-40d5"));
        check("\"8e03978e-40d5\"", Some("8e03978e-40d5"));
        check("  a ", Some("a"));
        check(r#""a\"\\b""#, Some(r#"a"\b"#));
        check(r#"a"b"#, Some(r#"a"b"#));
        check(&"k".repeat(255), Some(&"k".repeat(255)));
        for bad in ["", "\"\"", "\"a", "\"a\"b", r#""a\n""#, "a b", "\"a b\"", "é", "a\u{7f}", &"k".repeat(256)] {
            check(bad, None);
        }
    }

    #[test]
    fn the_order_of_keys_is_not_part_of_a_body() {
        let of = |text: &str| {
            let key = IdempotencyKey::parse("k").expect("a key");
            Submission::new(key, &serde_json::from_str(text).expect("JSON"))
        };
        assert_eq!(of(r#"{"a":1,"b":{"c":2,"d":3}}"#), of("{ \"b\": {\"d\":3, \"c\":2},\n \"a\": 1 }"));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":2}"#));
        assert_ne!(Submission::new(IdempotencyKey("k".into()), &json!([1, 2])), of("[2,1]"));
    }
}
