//! `/playbooks`: the workflows that the service keeps by name.
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde_json::Value;

use crate::api;
use crate::web::error::ApiError;
use crate::workflow::world::World;

/// What these routes need.
#[derive(Clone)]
pub struct Playbooks {
    pub world: Arc<World>,
}

pub async fn list(deps: Data<Playbooks>) -> HttpResponse {
    let playbooks = deps.world.playbooks.iter().map(|(name, document)| shape(name, document)).collect();
    HttpResponse::Ok().json(api::playbook::Playbooks { playbooks, next: None })
}

pub async fn show(deps: Data<Playbooks>, name: Path<String>) -> Result<HttpResponse, ApiError> {
    let document = deps.world.playbooks.get(name.as_str()).ok_or_else(|| {
        ApiError::NotFound(format!("there is no playbook `{name}`; `GET /api/v1/playbooks` lists them"))
    })?;
    let mut playbook = shape(&name, document);
    playbook.document = Some(document.clone());
    Ok(HttpResponse::Ok().json(playbook))
}

fn shape(name: &str, document: &Value) -> api::playbook::Playbook {
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
    let labels = document.get("labels");
    let description = labels.and_then(|labels| labels.get("description")).and_then(Value::as_str);
    api::playbook::Playbook {
        name: name.to_owned(),
        description: description.map(str::to_owned),
        mode: text("mode").unwrap_or_else(|| "dag".to_owned()),
        inputs: document.get("inputs").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        steps: document.get("steps").and_then(Value::as_array).map_or(0, Vec::len),
        document: None,
    }
}

#[cfg(test)]
mod tests {
    use crate::web::asked::{ask, request};
    use crate::web::fakes::edges;

    #[actix_web::test]
    async fn a_playbook_is_listed_and_shown_with_its_document() {
        let all = ask(edges(), request("GET /api/v1/playbooks")).await.json();
        assert_eq!((&all["playbooks"][0]["name"], &all["playbooks"][0]["steps"]), (&"good".into(), &1.into()));
        let one = ask(edges(), request("GET /api/v1/playbooks/good")).await.json();
        assert_eq!(one["document"]["steps"][0]["agent"], "PACER");
        assert_eq!(ask(edges(), request("GET /api/v1/playbooks/none")).await.status, 404);
    }
}
