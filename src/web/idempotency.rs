//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a submission that is sent again, since its
//! answer was lost, is answered with the run of the first one.
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpRequest};

use crate::web::error::ApiError;
use crate::workflow::submission::IdempotencyKey;

pub const HEADER: &str = "Idempotency-Key";
/// Set on the answer to a repeat.
pub const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

/// The key of the request, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(pub Option<IdempotencyKey>);

impl FromRequest for Key {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all(HEADER);
        ready(match (values.next(), values.next()) {
            (None, _) => Ok(Key(None)),
            (Some(value), None) => parsed(value).map(|key| Key(Some(key))),
            (Some(_), Some(_)) => Err(ApiError::BadRequest(format!("`{HEADER}` is given more than once"))),
        })
    }
}

fn parsed(value: &HeaderValue) -> Result<IdempotencyKey, ApiError> {
    let text = String::from_utf8_lossy(value.as_bytes());
    IdempotencyKey::parse(&text).map_err(|cause| ApiError::BadRequest(format!("`{HEADER}`: {cause}")))
}
