//! Asks the whole route table as a client would, and gives back what came.
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, init_service, try_call_service};
use serde_json::Value;

use crate::web::fakes::TOKEN;
use crate::web::routes::Edges;
use crate::web::server::service;

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|cause| panic!("{cause} in {:?}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A request from this host with the right token.
pub fn request(line: &str) -> TestRequest {
    anonymous(line).insert_header(("Authorization", format!("Bearer {TOKEN}")))
}

/// `line` is a method and an address.
pub fn anonymous(line: &str) -> TestRequest {
    let (method, uri) = line.split_once(' ').expect("a method and an address");
    let method = method.parse().expect("a method");
    TestRequest::default().method(method).uri(uri).insert_header(("Host", "localhost:8787"))
}

pub async fn ask(edges: Edges, request: TestRequest) -> Answer {
    let app = init_service(service(edges)).await;
    // The server makes an answer of an error that no one caught; so does this.
    let (response, body) = match try_call_service(&app, request.to_request()).await {
        Ok(response) => {
            let (_, response) = response.into_parts();
            let (head, body) = response.into_parts();
            (head, actix_web::body::to_bytes(body).await.map_err(|_| ()).expect("a body"))
        }
        Err(error) => {
            let (head, body) = error.error_response().into_parts();
            (head, actix_web::body::to_bytes(body).await.map_err(|_| ()).expect("a body"))
        }
    };
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: String::from_utf8_lossy(&body).into_owned(),
    }
}
