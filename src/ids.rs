//! Names and numbers that identify things: checked once, at the border, and cheap to clone.
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A name broke the rules of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct BadName {
    pub kind: &'static str,
    pub text: String,
    pub rule: &'static str,
}

/// What a kind of name is called and which texts it admits.
pub trait Kind {
    const KIND: &'static str;
    const RULE: &'static str;
    fn admits(text: &str) -> bool;
}

/// A checked name of kind `K`.
pub struct Name<K>(Arc<str>, std::marker::PhantomData<fn() -> K>);

pub type AgentId = Name<AgentKind>;
pub type ToolId = Name<ToolKind>;
pub type StepId = Name<StepKind>;
pub type NodeId = Name<NodeKind>;
pub type ScheduleName = Name<ScheduleKind>;
pub type SignalName = Name<SignalKind>;

#[derive(Debug)]
pub enum AgentKind {}
#[derive(Debug)]
pub enum ToolKind {}
#[derive(Debug)]
pub enum StepKind {}
#[derive(Debug)]
pub enum NodeKind {}
#[derive(Debug)]
pub enum ScheduleKind {}
#[derive(Debug)]
pub enum SignalKind {}

impl Kind for AgentKind {
    const KIND: &'static str = "agent id";
    const RULE: &'static str = "1 to 64 of A-Z, 0-9 and `-`, starting with a letter";
    fn admits(text: &str) -> bool {
        shaped(text, 64, |c| c.is_ascii_uppercase(), |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-')
    }
}

impl Kind for ToolKind {
    const KIND: &'static str = "tool id";
    const RULE: &'static str = "`domain.verb` of a-z, 0-9 and `_`";
    fn admits(text: &str) -> bool {
        let part = |p: &str| {
            shaped(p, 32, |c| c.is_ascii_lowercase(), |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        text.split_once('.').is_some_and(|(domain, verb)| part(domain) && part(verb))
    }
}

impl Kind for StepKind {
    const KIND: &'static str = "step id";
    const RULE: &'static str = "1 to 64 of a-z, A-Z, 0-9 and `_`, starting with a letter";
    fn admits(text: &str) -> bool {
        // `scan[3]` is the fourth item of the step `scan`.
        let item = text.strip_suffix(']').and_then(|text| text.split_once('['));
        let is_number = |n: &str| !n.is_empty() && n.len() <= 6 && n.bytes().all(|byte| byte.is_ascii_digit());
        let text = item.filter(|(_, n)| is_number(n)).map_or(text, |(step, _)| step);
        shaped(text, 64, |c| c.is_ascii_alphabetic(), |c| c.is_ascii_alphanumeric() || c == '_')
    }
}

impl Kind for SignalKind {
    const KIND: &'static str = "signal name";
    const RULE: &'static str = "1 to 64 of a-z, A-Z, 0-9, `_` and `-`, starting with a letter";
    fn admits(text: &str) -> bool {
        shaped(text, 64, |c| c.is_ascii_alphabetic(), |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    }
}

impl Kind for NodeKind {
    const KIND: &'static str = "node id";
    const RULE: &'static str = "1 to 64 of a-z, 0-9 and `-`, starting with a letter or digit";
    fn admits(text: &str) -> bool {
        let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        shaped(text, 64, first, |c| first(c) || c == '-')
    }
}

impl Kind for ScheduleKind {
    const KIND: &'static str = "name of a schedule";
    const RULE: &'static str = "1 to 64 of a-z, 0-9 and `-`, starting with a letter or digit";
    fn admits(text: &str) -> bool {
        NodeKind::admits(text)
    }
}

fn shaped(text: &str, longest: usize, first: impl Fn(char) -> bool, rest: impl Fn(char) -> bool) -> bool {
    let mut chars = text.chars();
    text.len() <= longest && chars.next().is_some_and(first) && chars.all(rest)
}

impl<K: Kind> Name<K> {
    pub fn new(text: &str) -> Result<Self, BadName> {
        if K::admits(text) {
            Ok(Name(text.into(), std::marker::PhantomData))
        } else {
            Err(BadName { kind: K::KIND, text: text.to_owned(), rule: K::RULE })
        }
    }
}

impl<K> Name<K> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<K> Clone for Name<K> {
    fn clone(&self) -> Self {
        Name(Arc::clone(&self.0), std::marker::PhantomData)
    }
}

impl<K> PartialEq for Name<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K> Eq for Name<K> {}

impl<K> PartialOrd for Name<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Name<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<K> std::hash::Hash for Name<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K> Borrow<str> for Name<K> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<K> fmt::Display for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<K> fmt::Debug for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<K: Kind> FromStr for Name<K> {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Name::new(text)
    }
}

impl<K> Serialize for Name<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Name<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Name::new(&text).map_err(serde::de::Error::custom)
    }
}

impl<K: Kind> JsonSchema for Name<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        K::KIND.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "description": format!("{}: {}", K::KIND, K::RULE) })
    }
}

/// One run of a workflow. Version 7 UUIDs: they sort by the time of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct RunId(pub Uuid);

impl RunId {
    /// The millisecond that a version-7 UUID begins with.
    pub fn begun(self) -> Option<DateTime<Utc>> {
        let millis = i64::try_from(self.0.as_u128() >> 80).ok().filter(|_| self.0.get_version_num() == 7)?;
        DateTime::from_timestamp_millis(millis)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Uuid::parse_str(text).map(RunId).map_err(|_| BadName { kind: "run id", text: text.to_owned(), rule: "a UUID" })
    }
}

/// A SHA-256 digest; text form is lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl JsonSchema for Digest {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map(|()| Digest(bytes)).map_err(|_| BadName {
            kind: "SHA-256 digest",
            text: text.to_owned(),
            rule: "64 hexadecimal digits",
        })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<K: Kind>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(Name::<K>::new(text).is_ok(), "{text} should be a {}", K::KIND);
        }
        for text in bad {
            assert!(Name::<K>::new(text).is_err(), "{text} should not be a {}", K::KIND);
        }
    }

    #[test]
    fn names_admit_what_their_rule_says() {
        check::<AgentKind>(&["PACER", "HARDWARE-DELL", "A1"], &["", "pacer", "1A", "-A", "A_B", "A B"]);
        check::<ToolKind>(&["fs.manifest", "cp.audit_verify"], &["fs", "fs.", ".x", "Fs.x", "a.b.c"]);
        check::<StepKind>(&["a", "trees_2", "Build"], &["", "1a", "a-b", "a.b"]);
        check::<NodeKind>(&["host-1", "9a"], &["", "-a", "Host"]);
    }

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = Digest([7; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("07".parse::<Digest>().is_err());
    }
}
