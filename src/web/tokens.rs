//! `/tokens`: make, list, revoke.
use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{Data, Path, Payload};

use crate::access::token::{Known, TokenId};
use crate::api::access as shape;
use crate::clock;
use crate::messages::access::{CreateToken, Created, RevokeToken};
use crate::messages::port::Port;
use crate::toolkit::duration;
use crate::web::auth::{Admission, Caller};
use crate::web::body::json_body;
use crate::web::error::ApiError;

const LONGEST_NAME: usize = 64;

/// What these routes need.
#[derive(Clone)]
pub struct Tokens {
    pub create: Port<CreateToken>,
    pub revoke: Port<RevokeToken>,
}

pub async fn create(deps: Data<Tokens>, caller: Caller, body: Payload) -> Result<HttpResponse, ApiError> {
    let shape::NewToken { name, role, expires_in } = json_body(body).await?;
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let rule = format!("`name` must have 1 to {LONGEST_NAME} characters, none of them a control character");
        return Err(ApiError::BadRequest(rule));
    }
    let bad = |fault| ApiError::BadRequest(format!("`expires_in`: {fault}"));
    let expires_in = expires_in.as_deref().map(duration::parse).transpose().map_err(bad)?;
    if expires_in.is_some_and(|lasts| lasts.is_zero()) {
        return Err(ApiError::BadRequest("`expires_in` must be longer than nothing".to_owned()));
    }
    let Created { fresh, known } = deps.create.ask(CreateToken { name, role, expires_in, by: caller.who }).await??;
    let Known { name, role, expires, .. } = known;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/api/v1/tokens/{}", fresh.id)))
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(shape::CreatedToken { token_id: fresh.id, token: fresh.text, name, role, expires }))
}

pub async fn list(admission: Data<Admission>) -> Result<HttpResponse, ApiError> {
    let (book, now) = (admission.book()?, clock::wall());
    let mut tokens: Vec<_> = book.tokens().cloned().collect();
    tokens.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let shown = |known: Known| shape::Token {
        valid: known.is_valid(now),
        token_id: known.id,
        name: known.name,
        role: known.role,
        created: known.created,
        created_by: known.created_by,
        expires: known.expires,
        revoked: known.revoked,
    };
    Ok(HttpResponse::Ok().json(shape::Tokens { tokens: tokens.into_iter().map(shown).collect(), next: None }))
}

pub async fn revoke(deps: Data<Tokens>, caller: Caller, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let id = TokenId::try_from(id.into_inner()).map_err(|fault| ApiError::NotFound(fault.to_string()))?;
    let revoked = deps.revoke.ask(RevokeToken { id: id.clone(), by: caller.who }).await??;
    Ok(HttpResponse::Ok().json(shape::Revoked { token_id: id, revoked }))
}
