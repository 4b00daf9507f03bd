//! Request bodies: read up to a limit and a deadline, then parsed with line and column of the first fault.
use std::time::Duration;

use actix_web::web::{Bytes, Payload};
use serde::de::DeserializeOwned;

use crate::web::error::ApiError;

/// The largest body that is read.
pub const LIMIT: usize = 8 * 1024 * 1024;
const WITHIN: Duration = Duration::from_secs(30);

/// The body as a `T`.
pub async fn json_body<T: DeserializeOwned>(payload: Payload) -> Result<T, ApiError> {
    parse(&read(payload).await?)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|cause| {
        // serde_json ends its text with the place, which has fields of its own here.
        let text = cause.to_string();
        let detail = text.split(" at line ").next().unwrap_or(&text).to_owned();
        match cause.classify() {
            serde_json::error::Category::Data => ApiError::BadRequest(text),
            _ => ApiError::NotJson { line: cause.line(), column: cause.column(), detail },
        }
    })
}

/// The body as a `T`, if there is one.
pub async fn optional_json_body<T: DeserializeOwned>(payload: Payload) -> Result<Option<T>, ApiError> {
    let bytes = read(payload).await?;
    if bytes.is_empty() { Ok(None) } else { parse(&bytes).map(Some) }
}

async fn read(payload: Payload) -> Result<Bytes, ApiError> {
    let reading = tokio::time::timeout(WITHIN, payload.to_bytes_limited(LIMIT));
    match reading.await {
        Err(_) => Err(ApiError::TooSlow { within: WITHIN }),
        Ok(Err(_)) => Err(ApiError::TooLarge { limit: LIMIT }),
        Ok(Ok(Err(cause))) => Err(ApiError::BadRequest(format!("the body cannot be read: {cause}"))),
        Ok(Ok(Ok(bytes))) => Ok(bytes),
    }
}
