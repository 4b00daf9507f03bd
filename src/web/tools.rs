//! `/tools`: what agents may be given, with the schemas of input and result.
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};

use crate::agents::catalog::Catalog;
use crate::api;
use crate::toolkit::spec::ToolKind;
use crate::toolkit::spec::ToolSpec;
use crate::web::error::ApiError;

/// What these routes need.
#[derive(Clone)]
pub struct Tools {
    pub specs: Arc<Vec<ToolSpec>>,
    pub catalog: Arc<Catalog>,
}

pub async fn list(deps: Data<Tools>) -> HttpResponse {
    let tools = deps.specs.iter().map(|spec| shape(spec, &deps.catalog)).collect();
    HttpResponse::Ok().json(api::tool::Tools { tools, next: None })
}

pub async fn show(deps: Data<Tools>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let spec = deps.specs.iter().find(|spec| spec.id.as_str() == id.as_str());
    let spec =
        spec.ok_or_else(|| ApiError::NotFound(format!("there is no tool `{id}`; `GET /api/v1/tools` lists them")))?;
    Ok(HttpResponse::Ok().json(shape(spec, &deps.catalog)))
}

fn shape(spec: &ToolSpec, catalog: &Catalog) -> api::tool::Tool {
    let kind = match spec.kind {
        ToolKind::ReadOnly => "read_only",
        ToolKind::Mutating => "mutating",
        ToolKind::External => "external",
        ToolKind::Load => "load",
    };
    let holders = catalog.iter().filter(|profile| profile.tools.contains(&spec.id));
    api::tool::Tool {
        id: spec.id.clone(),
        kind: kind.to_owned(),
        what: spec.what.clone(),
        privileges: spec.privileges.clone(),
        timeout_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX),
        learn: spec.learn,
        repeatable: spec.repeatable,
        built: spec.built,
        agents: holders.map(|profile| profile.id.clone()).collect(),
        inputs: spec.input_schema.clone(),
        outputs: spec.output_schema.clone(),
    }
}
