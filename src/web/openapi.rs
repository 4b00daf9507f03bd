//! The description of the API, OpenAPI 3.1: made from the list of routes that the service answers by, so that the two
//! cannot differ. The JSON shapes are those of `src/api`.
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::api::problem::{MEDIA_TYPE, Problem};
use crate::web::auth::COOKIE;
use crate::web::route::{Access, Answer, Body, Method, Resource};
use crate::web::routes::table;
use crate::workflow::schema;

const DESCRIPTION: &str = "Control plane for one secured Linux host. Times are RFC 3339 in UTC; what ends in `_ms` is \
    in milliseconds, `_s` in seconds, `_rate` and `confidence` from 0 to 1. Errors are problem details (RFC 9457). \
    Readers should ignore fields that they do not know.";
/// In the order in which they are shown.
const TAGS: [(&str, &str); 6] = [
    ("workflows", "Submit runs, follow and steer them"),
    ("agents", "Who does the work, with which tools, and how well"),
    ("watching", "Readings, alerts and the live feed"),
    ("audit", "The signed log and its proofs"),
    ("access", "Tokens and sessions"),
    ("service", "The service itself"),
];
const SHAPES: &str = "#/components/schemas/";

/// Made once: it does not depend on how the service was started.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document(&table()).to_string()));

pub async fn show() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.clone())
}

/// Shapes that are read, and those that are written: what may be left out differs.
struct Shapes {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Shapes {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SHAPES.trim_start_matches('#').trim_end_matches('/').to_owned().into();
            settings.meta_schema = None;
        });
        Shapes {
            taken: settings.clone().for_deserialize().into_generator(),
            given: settings.for_serialize().into_generator(),
        }
    }

    fn into_components(mut self) -> Map<String, Value> {
        let mut shapes = self.given.take_definitions(true);
        shapes.extend(self.taken.take_definitions(true));
        shapes.extend(workflow_shapes());
        shapes
    }
}

fn document(table: &[Resource]) -> Value {
    let mut shapes = Shapes::new();
    let mut paths = Map::new();
    for Resource { path, methods } in table {
        let told: Map<String, Value> = methods
            .iter()
            .filter(|method| !matches!(method.answer, Answer::Page))
            .map(|method| (method.names[0].to_lowercase(), operation(path, method, &mut shapes)))
            .collect();
        if !told.is_empty() {
            paths.insert(plain(path), Value::Object(told));
        }
    }
    let problem = shapes.given.subschema_for::<Problem>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "dsmil",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": TAGS.map(|(name, about)| json!({ "name": name, "description": about })),
        "paths": paths,
        "components": {
            "schemas": shapes.into_components(),
            "responses": { "Problem": {
                "description": "Why the request was not answered as asked",
                "content": { MEDIA_TYPE: { "schema": problem } },
            } },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "`dsmil token create`" },
                "session": { "type": "apiKey", "in": "cookie", "name": COOKIE,
                    "description": "`POST /api/v1/sessions`; requests that change something also need the `Origin` of this service" },
            },
        },
    })
}

fn operation(path: &str, method: &Method, shapes: &mut Shapes) -> Value {
    let mut told = json!({
        "operationId": name(path, method),
        "summary": method.summary,
        "tags": [tag(path)],
        "security": match method.access {
            Access::Anyone => json!([]),
            Access::Needs(_) => json!([{ "token": [] }, { "session": [] }]),
        },
        "responses": responses(method, shapes),
    });
    if let Access::Needs(role) = method.access {
        told["description"] = json!(format!("Needs the role {role}."));
        told["x-role"] = json!(role);
    }
    let parameters: Vec<Value> = path_parameters(path)
        .chain(query_parameters(method, shapes))
        .chain(method.header.map(|(name, about)| header_parameter(name, about)))
        .collect();
    if !parameters.is_empty() {
        told["parameters"] = parameters.into();
    }
    if let Some(body) = &method.body {
        let schema = match body {
            Body::Json(shape) => json!(shape(&mut shapes.taken)),
            Body::Workflow => json!({ "$ref": format!("{SHAPES}Workflow") }),
        };
        told["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    told
}

fn responses(method: &Method, shapes: &mut Shapes) -> Value {
    let said = |status: StatusCode| status.canonical_reason().unwrap_or_default();
    let (status, answer) = match method.answer {
        Answer::Json(status, shape) => {
            let schema = shape(&mut shapes.given);
            let content = json!({ "application/json": { "schema": schema } });
            (status, json!({ "description": said(status), "content": content }))
        }
        Answer::Other(media_type) => {
            let schema =
                if media_type.ends_with("json") { json!({ "type": "object" }) } else { json!({ "type": "string" }) };
            let content = json!({ media_type: { "schema": schema } });
            (StatusCode::OK, json!({ "description": said(StatusCode::OK), "content": content }))
        }
        Answer::Nothing(status) => (status, json!({ "description": said(status) })),
        Answer::Page => return json!({}),
    };
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let mut all = json!({ status.as_str(): answer, "default": problem });
    if !method.or.is_empty() {
        let either: Vec<_> = method.or.iter().map(|shape| shape(&mut shapes.given)).collect();
        let content = json!({ "application/json": { "schema": { "anyOf": either } } });
        all[StatusCode::OK.as_str()] = json!({ "description": said(StatusCode::OK), "content": content });
    }
    if matches!(method.access, Access::Needs(_)) {
        all["401"] = problem.clone();
        all["403"] = problem;
    }
    all
}

/// Fields of a query, each a parameter.
fn query_parameters(method: &Method, shapes: &mut Shapes) -> Vec<Value> {
    let Some(query) = method.query else { return Vec::new() };
    let mut shape = Value::from(query(&mut shapes.taken));
    let required = shape["required"].take();
    let fields = shape["properties"].as_object().cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let needed = required.as_array().is_some_and(|names| names.contains(&json!(name)));
        let mut parameter = json!({ "name": name, "in": "query", "required": needed, "schema": schema });
        if let Some(about) = about {
            parameter["description"] = about;
        }
        parameter
    };
    fields.into_iter().map(parameter).collect()
}

fn header_parameter(name: &str, about: &str) -> Value {
    json!({ "name": name, "in": "header", "required": false, "schema": { "type": "string" }, "description": about })
}

fn path_parameters(path: &str) -> impl Iterator<Item = Value> {
    // The only ids that are not names.
    let is_run = path.starts_with("/api/v1/workflows/");
    let parameter = move |name: &str| {
        let kind = if is_run && name == "id" {
            json!({ "type": "string", "format": "uuid" })
        } else if name == "index" {
            json!({ "type": "integer", "minimum": 0 })
        } else {
            json!({ "type": "string" })
        };
        json!({ "name": name, "in": "path", "required": true, "schema": kind })
    };
    variables(path).map(move |(name, _)| parameter(name))
}

/// The names between braces, and the whole text of each pair of braces.
fn variables(path: &str) -> impl Iterator<Item = (&str, &str)> {
    path.split('{').skip(1).filter_map(|rest| {
        let inner = rest.split('}').next()?;
        Some((inner.split(':').next()?, inner))
    })
}

/// The path without the patterns that only our router understands.
fn plain(path: &str) -> String {
    variables(path).fold(path.to_owned(), |path, (name, inner)| path.replace(inner, name))
}

/// Such as `post_workflows_id_cancel`.
fn name(path: &str, method: &Method) -> String {
    let plain = plain(path);
    let path = plain.trim_start_matches("/api/v1").trim_start_matches("/api");
    let words = path.split(['/', '.', '-']).filter(|word| !word.is_empty());
    let words = words.map(|word| word.trim_matches(['{', '}']).to_owned());
    std::iter::once(method.names[0].to_lowercase()).chain(words).collect::<Vec<_>>().join("_")
}

fn tag(path: &str) -> &str {
    match path.trim_start_matches("/api/v1/").split('/').next() {
        Some("tokens" | "sessions" | "stream-tickets") => "access",
        Some("alerts" | "host" | "stream") => "watching",
        Some("workflows" | "playbooks" | "schemas") => "workflows",
        Some("agents" | "tools" | "learner") => "agents",
        Some("audit") => "audit",
        Some(_) | None => "service",
    }
}

/// The published schema of the workflow, with its parts as shapes of their own.
fn workflow_shapes() -> Map<String, Value> {
    let moved = schema::TEXT.replace("#/$defs/", &format!("{SHAPES}Workflow."));
    let Ok(Value::Object(mut whole)) = serde_json::from_str::<Value>(&moved) else { return Map::new() };
    let parts = whole.remove("$defs");
    whole.remove("$schema");
    whole.remove("$id");
    let parts = parts.and_then(|parts| parts.as_object().cloned()).unwrap_or_default();
    let mut shapes: Map<String, Value> =
        parts.into_iter().map(|(name, part)| (format!("Workflow.{name}"), part)).collect();
    shapes.insert("Workflow".to_owned(), Value::Object(whole));
    shapes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::asked::{ask, request};
    use crate::web::fakes::edges;

    fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[actix_web::test]
    async fn the_description_is_served_and_is_what_the_standard_asks_for() {
        let served = ask(edges(), request("GET /api/openapi.json")).await;
        assert_eq!((served.status, served.header("content-type")), (200, "application/json"));
        let described = served.json();
        // The schema that the OpenAPI Initiative publishes.
        let standard = include_str!("../../tests/fixtures/openapi/schema-3.1.json");
        let standard = jsonschema::validator_for(&serde_json::from_str(standard).expect("JSON")).expect("a schema");
        let faults: Vec<String> = standard.iter_errors(&described).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new());
        let mut found = BTreeSet::new();
        references(&described, &mut found);
        assert!(found.len() > 30, "{found:?}");
        for reference in found {
            assert!(described.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_method_of_the_api_is_described_under_a_name_of_its_own() {
        let described = document(&table());
        let mut names = BTreeSet::new();
        for Resource { path, methods } in table() {
            for method in methods {
                let told = &described["paths"][plain(path)][method.names[0].to_lowercase()];
                assert_eq!(
                    told.is_object(),
                    path.starts_with("/api/") || matches!(path, "/livez" | "/readyz" | "/metrics"),
                    "{path}"
                );
                if let Some(name) = told["operationId"].as_str() {
                    assert!(names.insert(name.to_owned()), "{name} twice");
                    assert!(TAGS.iter().any(|(tag, _)| told["tags"][0] == *tag), "{name}");
                }
            }
        }
        let tile = &described["paths"]["/api/v1/audit/tile/{path}"]["get"];
        assert_eq!((&tile["security"], &tile["parameters"][0]["name"]), (&json!([]), &json!("path")));
        let list = &described["paths"]["/api/v1/workflows"]["get"];
        assert_eq!((list["x-role"].as_str(), list["parameters"].as_array().map(Vec::len)), (Some("viewer"), Some(8)));
    }

    #[test]
    fn a_change_of_the_api_is_seen_in_review() {
        let described = serde_json::to_string_pretty(&document(&table())).expect("JSON") + "\n";
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        if std::env::var_os("DSMIL_BLESS").is_some() {
            std::fs::write(kept, &described).expect("written");
        }
        let same = std::fs::read_to_string(kept).is_ok_and(|kept| kept == described);
        assert!(
            same,
            "docs/openapi.json is not what the routes say: run `DSMIL_BLESS=1 cargo test openapi`, and look at the difference"
        );
    }
}
