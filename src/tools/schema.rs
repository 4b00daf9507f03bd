//! Makes a tool's specification from its Rust types.
use std::time::Duration;

use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use crate::ids::ToolId;
use crate::toolkit::spec::RunsOn;
use crate::toolkit::spec::ToolKind;
use crate::toolkit::spec::ToolSpec;
use crate::tools::evidence::Gap;

/// What every reading tool answers: its own data, and the parts of it that could not be found out.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report<T> {
    #[serde(flatten)]
    pub data: T,
    /// Parts that are null or empty because they could not be read, each with its reason.
    pub not_assessed: Vec<Gap>,
}

/// The specification of a tool that reads the host: repeatable, on a thread, teaches the learner.
/// A tool that differs changes the fields of the answer: `ToolSpec { learn: false, ..read_only::<In, Out>(..) }`.
#[expect(clippy::expect_used, reason = "ids are literals of this folder, and a test builds every specification")]
pub fn read_only<I: JsonSchema, O: JsonSchema>(id: &str, what: &str, privileges: &str, timeout: Duration) -> ToolSpec {
    ToolSpec {
        id: ToolId::new(id).expect("the id of a built tool is well formed"),
        kind: ToolKind::ReadOnly,
        what: what.to_owned(),
        input_schema: schema_of::<I>(),
        output_schema: schema_of::<Report<O>>(),
        privileges: privileges.to_owned(),
        timeout,
        runs_on: RunsOn::Thread,
        learn: true,
        repeatable: true,
        needs_evidence: true,
        built: true,
    }
}

/// The specification of a tool that changes the host: never repeated blindly, since what it did can be read.
pub fn mutating<I: JsonSchema, O: JsonSchema>(id: &str, what: &str, privileges: &str, timeout: Duration) -> ToolSpec {
    ToolSpec {
        kind: ToolKind::Mutating,
        output_schema: schema_of::<O>(),
        repeatable: false,
        ..read_only::<I, O>(id, what, privileges, timeout)
    }
}

/// The JSON Schema of a type.
pub fn schema_of<T: JsonSchema>() -> Value {
    SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

/// The names of the properties of an object schema.
pub fn properties(schema: &Value) -> Vec<&str> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|map| map.keys().map(String::as_str).collect())
        .unwrap_or_default()
}
