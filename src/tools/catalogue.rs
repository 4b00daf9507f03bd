//! All tools that agents may be given, as data; and the tool that stands in for one that has no code in this release.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::ids::ToolId;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::toolkit::spec::RunsOn;
use crate::toolkit::spec::Tool;
use crate::toolkit::spec::ToolKind;
use crate::toolkit::spec::ToolSpec;

/// The catalogue that is shipped.
pub const SHIPPED: &str = include_str!("../../config/tools.toml");

/// One tool as the catalogue names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    pub id: ToolId,
    #[serde(deserialize_with = "kind")]
    pub kind: ToolKind,
    pub what: String,
    pub privileges: String,
    pub timeout_s: u64,
    /// Keys of the input object.
    pub inputs: Vec<String>,
    /// Keys of `data` in the result.
    pub outputs: Vec<String>,
}

/// The catalogue could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("the tool catalogue is not valid TOML of the expected form")]
    Parse(#[source] toml::de::Error),
    #[error("the tool catalogue lists `{0}` twice")]
    Twice(ToolId),
}

/// Reads a catalogue.
pub fn parse(text: &str) -> Result<BTreeMap<ToolId, Listed>, CatalogueError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        tool: Vec<Listed>,
    }
    let file: File = toml::from_str(text).map_err(CatalogueError::Parse)?;
    let mut tools = BTreeMap::new();
    for tool in file.tool {
        if let Some(first) = tools.insert(tool.id.clone(), tool) {
            return Err(CatalogueError::Twice(first.id));
        }
    }
    Ok(tools)
}

fn kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ToolKind, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "read_only" => Ok(ToolKind::ReadOnly),
        "mutating" => Ok(ToolKind::Mutating),
        "external" => Ok(ToolKind::External),
        "load" => Ok(ToolKind::Load),
        _ => Err(serde::de::Error::custom(format!("`{text}` is none of read_only, mutating, external, load"))),
    }
}

/// A tool of the catalogue without code: every call answers `unavailable`.
pub struct NotBuilt(pub Listed);

impl Tool for NotBuilt {
    fn spec(&self) -> ToolSpec {
        let listed = &self.0;
        ToolSpec {
            id: listed.id.clone(),
            kind: listed.kind,
            what: listed.what.clone(),
            input_schema: object_with(&listed.inputs),
            output_schema: object_with(&listed.outputs),
            privileges: listed.privileges.clone(),
            timeout: Duration::from_secs(listed.timeout_s),
            runs_on: RunsOn::Arbiter,
            learn: false,
            repeatable: true,
            needs_evidence: true,
            built: false,
        }
    }

    fn call(&self, _: &ToolCx, _: &Value) -> Output {
        let id = &self.0.id;
        let detail = format!("not built: this release names {id} in its catalogue but has no code for it");
        Output::without_data(Status::Unavailable, Reason::new("not_built", id.as_str(), detail))
    }
}

fn object_with(keys: &[String]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.clone(), json!({}))).collect();
    json!({"type": "object", "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn the_shipped_catalogue_has_69_tools_in_order() {
        let tools = parse(SHIPPED).expect("the shipped catalogue is valid");
        assert_eq!(tools.len(), 69);
        let in_file: Vec<&str> = SHIPPED.lines().filter_map(|line| line.strip_prefix("id = ")).collect();
        assert!(in_file.is_sorted(), "keep config/tools.toml sorted by id");
    }

    #[test]
    fn a_tool_without_code_says_so() {
        let tools = parse(SHIPPED).expect("valid");
        let listed = tools.get("llm.ask").expect("listed").clone();
        let tool = NotBuilt(listed);
        assert!(!tool.spec().built);
        let output = tool.call(&FixtureCx::empty(), &Value::Null);
        assert_eq!(output.status, Status::Unavailable);
        assert_eq!(output.reason.expect("a reason").code, "not_built");
    }

    #[test]
    fn faults_of_the_catalogue_are_named() {
        let one = "[[tool]]\nid = \"a.b\"\nkind = \"read_only\"\nwhat = \"\"\nprivileges = \"\"\ntimeout_s = 1\ninputs = []\noutputs = []\n";
        assert!(matches!(parse(&one.repeat(2)), Err(CatalogueError::Twice(id)) if id.as_str() == "a.b"));
        assert!(matches!(parse(&one.replace("read_only", "free")), Err(CatalogueError::Parse(_))));
        assert!(matches!(parse(&one.replace("what", "wat")), Err(CatalogueError::Parse(_))));
    }
}
