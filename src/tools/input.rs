//! Turns the JSON input of a call into the tool's own type, or into a refusal that says what to write instead.
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::tools::schema;

/// The input of a tool that takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// Reads the input of a call; null counts as an empty object.
pub fn parse<T: DeserializeOwned + JsonSchema>(input: &Value) -> Result<T, Box<Output>> {
    let empty = Value::Object(serde_json::Map::new());
    let input = if input.is_null() { &empty } else { input };
    let Some(object) = input.as_object() else {
        return Err(invalid("input", format!("the input must be a JSON object, this is {}", kind_of(input))));
    };
    let schema = schema::schema_of::<T>();
    let known = schema::properties(&schema);
    if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(invalid(key, unknown_key(key, &known)));
    }
    T::deserialize(input).map_err(|error| invalid(&blamed(object, &schema, &error), error.to_string()))
}

/// A refusal of the value of one input key.
pub fn invalid(key: &str, detail: impl Into<String>) -> Box<Output> {
    Box::new(Output::without_data(Status::Failed, Reason::new("invalid_input", key, detail)))
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), *candidate))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, candidate)) => format!("unknown key `{key}`; did you mean `{candidate}`?"),
        None if known.is_empty() => format!("unknown key `{key}`; this tool takes no input"),
        None => format!("unknown key `{key}`; this tool knows {}", known.join(", ")),
    }
}

/// serde does not say which key it was reading: the first whose JSON type the schema does not admit is the one.
fn blamed(object: &serde_json::Map<String, Value>, schema: &Value, error: &serde_json::Error) -> String {
    let text = error.to_string();
    if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return name.to_owned();
    }
    let admits = |key: &str, value: &Value| {
        let Some(wanted) = schema.pointer(&format!("/properties/{key}/type")) else { return false };
        let kind = kind_of(value);
        let fits = |name: &str| name == kind || (name == "number" && kind == "integer");
        match wanted {
            Value::String(name) => fits(name),
            Value::Array(names) => names.iter().filter_map(Value::as_str).any(fits),
            _ => false,
        }
    };
    let culprit = object.iter().find(|(key, value)| !admits(key, value)).or_else(|| object.iter().next());
    culprit.map_or_else(|| "input".to_owned(), |(key, _)| key.clone())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Window {
        #[serde(default)]
        window_s: u8,
        #[serde(default)]
        paths: Vec<String>,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Needs {
        path: String,
    }

    fn refusal<T: DeserializeOwned + JsonSchema + std::fmt::Debug>(input: Value) -> (String, String) {
        let output = parse::<T>(&input).expect_err("should be refused");
        assert_eq!(output.status, Status::Failed);
        let reason = output.reason.expect("a refusal has a reason");
        assert_eq!(reason.code, "invalid_input");
        (reason.facility, reason.detail)
    }

    #[test]
    fn null_and_the_empty_object_are_the_defaults() {
        let default = Window { window_s: 0, paths: Vec::new() };
        assert_eq!(parse::<Window>(&Value::Null).expect("null is no input"), default);
        assert_eq!(parse::<Window>(&json!({})).expect("so is {}"), default);
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_right_one() {
        let (key, detail) = refusal::<Window>(json!({"windows": 3}));
        assert_eq!(key, "windows");
        assert_eq!(detail, "unknown key `windows`; did you mean `window_s`?");
        assert_eq!(refusal::<NoInput>(json!({"x": 1})).1, "unknown key `x`; this tool takes no input");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_blamed_on_its_key() {
        assert_eq!(refusal::<Window>(json!({"paths": [], "window_s": "3"})).0, "window_s");
        assert_eq!(refusal::<Window>(json!({"window_s": 3, "paths": "x"})).0, "paths");
        assert_eq!(refusal::<Needs>(json!({})).0, "path");
        assert_eq!(refusal::<Window>(json!([1])).0, "input");
    }
}
