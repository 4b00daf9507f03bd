//! Who may ask: bearer tokens, and the guard against foreign host names.
//!
//! A page of another origin can make a browser reach a service on this host under a name of its own (DNS rebinding);
//! such a request carries that name in `Host`, so only names that cannot be rebound are answered.
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use actix_web::Error;
use actix_web::HttpMessage;
use actix_web::ResponseError;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST};
use actix_web::http::uri::Authority;
use actix_web::middleware::Next;
use actix_web::web::Data;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::web::error::ApiError;

/// The tokens that are admitted, as hashes. Deliberately without `Debug`.
#[derive(Clone)]
pub struct Tokens {
    admin: [u8; 32],
}

impl Tokens {
    /// `admin` is the SHA-256 of the bootstrap token's text.
    pub fn new(admin: [u8; 32]) -> Self {
        Tokens { admin }
    }

    /// Compares hashes in constant time; who presents the token, if it is one.
    fn find(&self, presented: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        bool::from(hash.ct_eq(&self.admin)).then(|| Caller("token:admin".to_owned()))
    }
}

/// Who asks, as it is written into records: `token:<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(String);

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Middleware of every route that is not public.
pub async fn require_token<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let caller = bearer(&request).and_then(|token| request.app_data::<Data<Tokens>>()?.find(token));
    match caller {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await.map(ServiceResponse::map_into_left_body)
        }
        None => Ok(request.into_response(ApiError::NoToken.error_response()).map_into_right_body()),
    }
}

fn bearer(request: &ServiceRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The host names that the service answers for.
#[derive(Debug, Clone)]
pub struct Hosts {
    listen: IpAddr,
}

impl Hosts {
    pub fn of(listen: SocketAddr) -> Self {
        Hosts { listen: listen.ip() }
    }

    /// `host` is the value of the header: a name or an address, with or without a port.
    fn admits(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host();
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            // An address cannot be rebound; it only has to be one of ours.
            Ok(address) => address.is_loopback() || address == self.listen || self.listen.is_unspecified(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// Middleware of the whole service.
pub async fn require_host<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default(),
    };
    if request.app_data::<Data<Hosts>>().is_some_and(|hosts| hosts.admits(host)) {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    }
    let refusal = ApiError::WrongHost { host: host.chars().take(100).collect() };
    Ok(request.into_response(refusal.error_response()).map_into_right_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_answered_for() {
        let check = |listen: &str, host: &str, admitted: bool| {
            let hosts = Hosts::of(listen.parse().expect("an address"));
            assert_eq!(hosts.admits(host), admitted, "listening on {listen}, asked for {host:?}");
        };
        for host in ["localhost", "LOCALHOST:8787", "127.0.0.1", "127.0.0.1:8787", "[::1]:8787", "127.9.9.9:1"] {
            check("127.0.0.1:8787", host, true);
        }
        for host in ["", "evil.example", "localhost.evil.example:8787", "192.0.2.7:8787", "a b", "evil@127.0.0.1.x"] {
            check("127.0.0.1:8787", host, false);
        }
        check("192.0.2.7:8787", "192.0.2.7:8787", true);
        check("192.0.2.7:8787", "192.0.2.8:8787", false);
        check("0.0.0.0:8787", "192.0.2.8:8787", true);
        check("0.0.0.0:8787", "evil.example:8787", false);
    }

    #[test]
    fn only_the_token_itself_is_found() {
        let tokens = Tokens::new(Sha256::digest(b"right").into());
        assert!(tokens.find("right").is_some());
        for wrong in ["", "wrong", "right ", "righ"] {
            assert!(tokens.find(wrong).is_none(), "{wrong:?}");
        }
    }
}
