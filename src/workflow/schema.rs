//! The JSON Schema of the workflow document, for editors and for callers. The check of `check` is stricter: a schema
//! cannot know the agents, nor who needs whom.
use serde_json::Value;

/// As it is served.
pub const TEXT: &str = include_str!("workflow.schema.json");

/// JSON Schema, draft 2020-12.
pub fn schema() -> Result<Value, serde_json::Error> {
    serde_json::from_str(TEXT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::workflow::document;
    use crate::workflow::document::Keys;
    use crate::workflow::expr;
    use crate::workflow::plan::Mode;
    use crate::workflow::plan::Priority;

    fn strings<'v>(values: impl IntoIterator<Item = &'v Value>) -> BTreeSet<&'v str> {
        values.into_iter().filter_map(Value::as_str).collect()
    }

    #[test]
    fn the_schema_has_exactly_the_keys_that_the_check_knows() {
        let schema = schema().expect("the schema is JSON");
        let check = |definition: &str, keys: Keys| {
            let definition = &schema["$defs"][definition];
            let listed: BTreeSet<_> =
                definition["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
            assert_eq!(listed, keys.known.iter().copied().collect(), "{}", keys.of);
            assert_eq!(definition["additionalProperties"], false, "{}", keys.of);
            assert!(keys.later.iter().all(|key| !listed.contains(key)), "{}", keys.of);
        };
        check("workflow", document::RUN);
        check("step", document::STEP);
        check("retry", document::RETRY);
        check("approve", document::APPROVE);
        check("agents", document::AGENTS);
        check("playbook", document::PLAYBOOK);
    }

    #[test]
    fn the_schema_lists_the_same_words_and_bounds() {
        let schema = schema().expect("the schema is JSON");
        let words = |definition: &str| strings(schema["$defs"][definition]["enum"].as_array().expect("enum"));
        assert_eq!(words("mode"), Mode::ALL.map(Mode::as_str).into());
        assert_eq!(words("priority"), Priority::ALL.map(Priority::as_str).into());
        assert_eq!(schema["$defs"]["step"]["properties"]["when"]["maxLength"], expr::LONGEST);
    }

    #[test]
    fn every_reference_in_the_schema_leads_somewhere() {
        fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let schema = schema().expect("the schema is JSON");
        let mut found = Vec::new();
        references(&schema, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            assert!(schema.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
