//! A playbook's YAML, read into the same value that JSON gives.
use serde_json::{Map, Value};

use crate::workflow::fault::Fault;
use crate::workflow::fault::below;

/// Reads one YAML document. Duplicate keys, tags and keys that are not text are refused.
pub fn from_yaml(text: &str) -> Result<Value, Fault> {
    let yaml: serde_norway::Value =
        serde_norway::from_str(text).map_err(|error| Fault::new("", format!("not valid YAML: {error}")))?;
    convert(yaml, "")
}

fn convert(yaml: serde_norway::Value, pointer: &str) -> Result<Value, Fault> {
    Ok(match yaml {
        serde_norway::Value::Null => Value::Null,
        serde_norway::Value::Bool(truth) => Value::Bool(truth),
        serde_norway::Value::Number(number) => number_of(&number, pointer)?,
        serde_norway::Value::String(text) => Value::String(text),
        serde_norway::Value::Sequence(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(at, item)| convert(item, &below(pointer, at)))
                .collect::<Result<_, _>>()?,
        ),
        serde_norway::Value::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let serde_norway::Value::String(key) = key else {
                    return Err(Fault::new(pointer, "a key must be text; put it in quotes"));
                };
                let value = convert(value, &below(pointer, &key))?;
                object.insert(key, value);
            }
            Value::Object(object)
        }
        serde_norway::Value::Tagged(tagged) => {
            return Err(Fault::new(pointer, format!("the YAML tag `{}` has no meaning here", tagged.tag)));
        }
    })
}

fn number_of(number: &serde_norway::Number, pointer: &str) -> Result<Value, Fault> {
    let json = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(signed), _, _) => Some(signed.into()),
        (_, Some(unsigned), _) => Some(unsigned.into()),
        (_, _, Some(float)) => serde_json::Number::from_f64(float),
        (None, None, None) => None,
    };
    json.map(Value::Number).ok_or_else(|| Fault::new(pointer, format!("the number `{number}` has no form in JSON")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_and_json_give_the_same_value() {
        let text =
            "name: n\nsteps:\n  - { id: a, retry: { factor: 1.5, max_attempts: 3 } }\ninputs: {on: true, x: ~}\n";
        let expected = json!({
            "name": "n", "steps": [{"id": "a", "retry": {"factor": 1.5, "max_attempts": 3}}],
            "inputs": {"on": true, "x": null}
        });
        assert_eq!(from_yaml(text), Ok(expected));
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for (text, pointer, part) in [
            ("a: 1\na: 2\n", "", "duplicate entry"),
            ("a: [", "", "not valid YAML"),
            ("a: {1: b}", "/a", "a key must be text"),
            ("a: [!x 1]", "/a/0", "tag `!x`"),
            ("a: .nan", "/a", "no form in JSON"),
            ("a: 1\n---\nb: 2\n", "", "not valid YAML"),
        ] {
            let fault = from_yaml(text).expect_err(text);
            assert_eq!(fault.pointer, pointer, "{text}");
            assert!(fault.detail.contains(part), "{text}: {}", fault.detail);
        }
    }
}
