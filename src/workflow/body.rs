//! The event of a journal row: as the text it is written as, or as the value it was read as. Text that is to be written
//! never becomes a value, which costs many times more.
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::workflow::template::size;

#[derive(Debug, Clone)]
pub enum Body {
    Text(String),
    Value(Value),
}

impl Body {
    pub fn of(event: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(event).map(Body::Text)
    }

    pub fn read<T: DeserializeOwned>(self) -> Result<T, serde_json::Error> {
        match self {
            Body::Text(text) => serde_json::from_str(&text),
            Body::Value(value) => serde_json::from_value(value),
        }
    }

    /// How long it is as text, if it is one.
    pub fn size(&self) -> usize {
        match self {
            Body::Text(text) => text.len(),
            Body::Value(value) => size(value),
        }
    }

    pub fn into_text(self) -> String {
        match self {
            Body::Text(text) => text,
            // `Value` prints as JSON, and cannot fail to.
            Body::Value(value) => value.to_string(),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::Value(Value::Null)
    }
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Body::Value(value)
    }
}

/// Equal when they say the same, however it is written.
impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Body::Value(one), Body::Value(other)) => one == other,
            (Body::Text(one), Body::Text(other)) if one == other => true,
            _ => {
                let value = |body: &Body| body.clone().read::<Value>().ok();
                value(self).zip(value(other)).is_some_and(|(one, other)| one == other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_and_value_are_equal_when_they_say_the_same() {
        let value = Body::from(json!({ "a": 1, "b": [true] }));
        let text = |text: &str| Body::Text(text.to_owned());
        assert_eq!(value, text(r#"{ "b": [true], "a": 1 }"#));
        assert_ne!(value, text(r#"{ "b": [true], "a": 2 }"#));
        assert_ne!(text("{"), text("["), "what is no JSON says nothing");
        assert_eq!(value.clone().into_text(), r#"{"a":1,"b":[true]}"#);
        assert_eq!(Body::of(&json!([1])).expect("JSON").read::<Vec<u8>>().expect("a list"), [1]);
    }
}
