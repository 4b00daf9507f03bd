//! All tools by id: those that are built, and stand-ins for those that are not.
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::ids::ToolId;
use crate::toolkit::change::Change;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::output::Reason;
use crate::toolkit::output::Status;
use crate::toolkit::spec::Tool;
use crate::toolkit::spec::ToolSpec;
use crate::tools::ALL;
use crate::tools::catalogue;
use crate::tools::catalogue::CatalogueError;
use crate::tools::catalogue::NotBuilt;

/// The tools of a service. Made once at start and shared.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: BTreeMap<ToolId, (ToolSpec, Arc<dyn Tool>)>,
}

impl Toolbox {
    /// Every tool of the shipped catalogue.
    pub fn standard() -> Result<Self, CatalogueError> {
        let mut toolbox = Toolbox::default();
        for listed in catalogue::parse(catalogue::SHIPPED)?.into_values() {
            toolbox = toolbox.with(Arc::new(NotBuilt(listed)));
        }
        Ok(ALL.iter().fold(toolbox, |toolbox, tool| toolbox.with(Arc::new(*tool))))
    }

    /// Adds a tool, or replaces the one of the same id.
    #[must_use]
    pub fn with(mut self, tool: Arc<dyn Tool>) -> Self {
        let spec = tool.spec();
        self.tools.insert(spec.id.clone(), (spec, tool));
        self
    }

    pub fn get(&self, id: &ToolId) -> Option<&Arc<dyn Tool>> {
        self.tools.get(id).map(|(_, tool)| tool)
    }

    pub fn spec(&self, id: &ToolId) -> Option<&ToolSpec> {
        self.tools.get(id).map(|(spec, _)| spec)
    }

    /// All specifications by id, the tools that are not built included.
    pub fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.tools.values().map(|(spec, _)| spec)
    }

    /// Calls a tool and holds it to its postcondition: no success without evidence.
    pub fn call(&self, id: &ToolId, cx: &ToolCx, input: &Value) -> Output {
        match self.tools.get(id) {
            Some((spec, tool)) => tool.call(cx, input).checked(spec.needs_evidence),
            None => {
                let detail = format!("there is no tool `{id}`; see GET /api/v1/tools for those there are");
                Output::without_data(Status::Failed, Reason::new("unknown_tool", id.as_str(), detail))
            }
        }
    }
}

/// A tool of `ALL` is shared as it is.
impl Tool for &'static dyn Tool {
    fn spec(&self) -> ToolSpec {
        (**self).spec()
    }
    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        (**self).call(cx, input)
    }
    fn change(&self) -> Option<&dyn Change> {
        (**self).change()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolkit::spec::ToolKind;
    use crate::tools::fixture_cx::FixtureCx;
    use crate::tools::schema;

    #[test]
    fn the_list_of_built_tools_is_sorted_and_without_duplicates() {
        let ids: Vec<ToolId> = ALL.iter().map(|tool| tool.spec().id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    }

    #[test]
    fn every_built_tool_is_what_the_catalogue_says() {
        let listed = catalogue::parse(catalogue::SHIPPED).expect("valid");
        for tool in ALL {
            let spec = tool.spec();
            let entry = listed.get(&spec.id).unwrap_or_else(|| panic!("{} is not in config/tools.toml", spec.id));
            assert_eq!(spec.kind, entry.kind, "{}", spec.id);
            assert_eq!(spec.what, entry.what, "{}", spec.id);
            assert_eq!(spec.privileges, entry.privileges, "{}", spec.id);
            assert_eq!(spec.timeout.as_secs(), entry.timeout_s, "{}", spec.id);
            for (schema, keys) in [(&spec.input_schema, &entry.inputs), (&spec.output_schema, &entry.outputs)] {
                let known = schema::properties(schema);
                for key in keys {
                    assert!(known.contains(&key.as_str()), "{} lacks `{key}`: it has {known:?}", spec.id);
                }
            }
            assert!(spec.built, "{}", spec.id);
            assert_eq!(tool.change().is_some(), spec.kind == ToolKind::Mutating, "{}", spec.id);
        }
    }

    #[test]
    fn the_standard_box_holds_the_whole_catalogue() {
        let toolbox = Toolbox::standard().expect("the shipped catalogue is valid");
        assert_eq!(toolbox.specs().count(), 69);
        assert_eq!(toolbox.specs().filter(|spec| spec.built).count(), ALL.len());
    }

    #[test]
    fn an_unknown_tool_is_refused_by_name() {
        let id = ToolId::new("no.such").expect("a tool id");
        let output = Toolbox::default().call(&id, &FixtureCx::empty(), &Value::Null);
        assert_eq!(output.status, Status::Failed);
        assert_eq!(output.reason.expect("a reason").facility, "no.such");
    }

    #[test]
    fn no_tool_panics_or_invents_on_a_host_that_has_nothing() {
        let toolbox = Toolbox::standard().expect("valid");
        let cx = FixtureCx::empty();
        for spec in toolbox.specs() {
            let output = toolbox.call(&spec.id, &cx, &Value::Null);
            let success = matches!(output.status, Status::Ok | Status::Degraded);
            assert!(success || output.reason.is_some(), "{}: {output:?}", spec.id);
        }
    }
}
