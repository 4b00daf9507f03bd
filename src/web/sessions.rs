//! `/sessions` and `/stream-tickets`: how a browser signs in, and how a client without headers follows the feed.
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::cookie::time::Duration as CookieTime;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::web::{Data, Payload};

use crate::access::book::{SESSION, TICKET};
use crate::api::access as shape;
use crate::messages::access::{CloseSession, IssueTicket, OpenSession};
use crate::messages::port::Port;
use crate::web::auth::{COOKIE, Caller, is_own_page};
use crate::web::body::json_body;
use crate::web::error::ApiError;

/// What these routes need.
#[derive(Clone)]
pub struct Sessions {
    pub open: Port<OpenSession>,
    pub close: Port<CloseSession>,
    pub ticket: Port<IssueTicket>,
}

/// Signs in. The page that asks must be our own: another could sign its reader in as somebody else.
pub async fn open(deps: Data<Sessions>, request: HttpRequest, body: Payload) -> Result<HttpResponse, ApiError> {
    if request.headers().contains_key("origin") && !is_own_page(&request) {
        return Err(ApiError::ForeignOrigin);
    }
    let shape::SignIn { token } = json_body(body).await?;
    let key = deps.open.ask(OpenSession { token: token.trim().to_owned() }).await??;
    let lasts = CookieTime::seconds(i64::try_from(SESSION.as_secs()).unwrap_or(i64::MAX));
    Ok(HttpResponse::NoContent().cookie(cookie(&request, key, lasts)).finish())
}

/// Signs out; without a session too.
pub async fn close(deps: Data<Sessions>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    if let Some(held) = request.cookie(COOKIE) {
        deps.close.ask(CloseSession { key: held.value().to_owned() }).await?;
    }
    Ok(HttpResponse::NoContent().cookie(cookie(&request, String::new(), CookieTime::ZERO)).finish())
}

pub async fn current(caller: Caller) -> HttpResponse {
    let who = caller.who;
    HttpResponse::Ok().json(shape::Identity { token_id: who.token, name: who.name, role: who.role })
}

pub async fn ticket(deps: Data<Sessions>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let ticket = deps.ticket.ask(IssueTicket { to: caller.into() }).await??;
    Ok(HttpResponse::Created().json(shape::Ticket { ticket, expires_in_s: TICKET.as_secs() }))
}

fn cookie(request: &HttpRequest, value: String, lasts: CookieTime) -> Cookie<'static> {
    // A TLS proxy in front may not say so; the page that signs in does.
    let origin = request.headers().get("origin").and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    let secure = request.connection_info().scheme() == "https" || origin.starts_with("https://");
    Cookie::build(COOKIE, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(secure)
        .max_age(lasts)
        .finish()
}
