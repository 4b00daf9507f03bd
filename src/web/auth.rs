//! Who may ask: bearer tokens, browser sessions, and the role that each route needs.
//!
//! A browser sends its cookie by itself, whoever wrote the page: what changes something through a cookie must come
//! from a page of our own, which its `Origin` tells.
use std::fmt;
use std::future::Ready;
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::Error;
use actix_web::FromRequest;
use actix_web::HttpMessage;
use actix_web::HttpRequest;
use actix_web::ResponseError;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use actix_web::middleware::Next;
use actix_web::web::Data;
use tokio::sync::watch;

use crate::access::book::{Book, Grant, Principal};
use crate::access::role::Role;
use crate::clock;
use crate::ids::Digest;
use crate::web::error::ApiError;
use crate::web::hosts::Hosts;

/// The name of the session cookie.
pub const COOKIE: &str = "dsmil_session";

/// Who is admitted at this moment.
#[derive(Clone)]
pub struct Admission(watch::Receiver<Option<Arc<Book>>>);

impl Admission {
    pub fn new(book: watch::Receiver<Option<Arc<Book>>>) -> Self {
        Admission(book)
    }

    pub fn book(&self) -> Result<Arc<Book>, ApiError> {
        self.0.borrow().clone().ok_or(ApiError::NotYet)
    }

    /// Changes whenever somebody may have lost a right.
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Book>>> {
        self.0.clone()
    }
}

/// Who asks, and how it was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub who: Principal,
    /// The session of the cookie, which a browser sends unasked; none: by a token.
    pub session: Option<Digest>,
}

impl From<Grant> for Caller {
    fn from(Grant { who, session }: Grant) -> Self {
        Caller { who, session }
    }
}

impl From<Caller> for Grant {
    fn from(Caller { who, session }: Caller) -> Self {
        Grant { who, session }
    }
}

/// As it is written into records: `token:<id>`.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.who.fmt(f)
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Caller>().cloned().ok_or(ApiError::NoToken))
    }
}

/// Admits the request if its caller has the role.
pub async fn require<B: MessageBody>(
    needed: Role,
    request: ServiceRequest,
    next: Rc<Next<B>>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match caller(request.request()).and_then(|caller| permitted(caller, needed, request.request())) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await.map(ServiceResponse::map_into_left_body)
        }
        Err(refusal) => Ok(request.into_response(refusal.error_response()).map_into_right_body()),
    }
}

/// By its bearer token, else by the cookie of its session.
pub fn caller(request: &HttpRequest) -> Result<Caller, ApiError> {
    let book = request.app_data::<Data<Admission>>().ok_or(ApiError::NotYet)?.book()?;
    let now = clock::wall();
    if let Some(token) = bearer(request.headers()) {
        let who = book.admit(token, now).ok_or(ApiError::NoToken)?;
        return Ok(Caller { who, session: None });
    }
    let cookie = request.cookie(COOKIE).ok_or(ApiError::NoToken)?;
    book.session(cookie.value(), now).map(Caller::from).ok_or(ApiError::NoToken)
}

fn permitted(caller: Caller, needed: Role, request: &HttpRequest) -> Result<Caller, ApiError> {
    if !caller.who.role.may(needed) {
        return Err(ApiError::NotAllowed { has: caller.who.role, needed });
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if caller.session.is_some() && !safe && !is_own_page(request) {
        return Err(ApiError::ForeignOrigin);
    }
    Ok(caller)
}

/// The request was made by a page of the very address it is sent to, or of a further name of ours.
pub fn is_own_page(request: &HttpRequest) -> bool {
    let hosts = request.app_data::<Data<Hosts>>();
    is_own(request.headers(), |authority| hosts.is_some_and(|hosts| hosts.admits_pages_of(authority)))
}

fn is_own(headers: &HeaderMap, is_further: impl Fn(&str) -> bool) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(ORIGIN), text(HOST)) else { return false };
    let own = |scheme: &str| {
        let authority = origin.strip_prefix(scheme);
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host) || is_further(authority))
    };
    own("http://") || own("https://")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn only_a_page_of_the_same_address_or_of_a_further_name_is_our_own() {
        let check = |origin: Option<&str>, host: &str, own: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).expect("ASCII"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_str(origin).expect("ASCII"));
            }
            assert_eq!(is_own(&headers, |authority| authority == "dsmil.example"), own, "{origin:?} to {host}");
        };
        check(Some("http://localhost:8787"), "localhost:8787", true);
        check(Some("https://LOCALHOST:8787"), "localhost:8787", true);
        check(Some("https://dsmil.example"), "127.0.0.1:8787", true);
        check(Some("https://dsmil.example:8443"), "127.0.0.1:8787", false);
        for foreign in ["null", "http://localhost", "http://localhost:87870", "http://evil.example", "localhost:8787"] {
            check(Some(foreign), "localhost:8787", false);
        }
        check(None, "localhost:8787", false);
    }
}
