//! The guard against foreign host names.
//!
//! A page of another origin can make a browser reach a service on this host under a name of its own (DNS rebinding);
//! such a request carries that name in `Host`, so only names that cannot be rebound are answered, and those that the
//! operator has listed for a proxy in front.
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::Error;
use actix_web::ResponseError;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HOST;
use actix_web::http::uri::Authority;
use actix_web::middleware::Next;
use actix_web::web::Data;

use crate::config::web::{HostName, WebConfig};
use crate::web::error::ApiError;

/// The host names that the service answers for.
#[derive(Debug, Clone)]
pub struct Hosts {
    listen: IpAddr,
    further: Arc<[HostName]>,
}

impl Hosts {
    pub fn of(web: &WebConfig) -> Self {
        Hosts { listen: web.listen.ip(), further: web.hosts.clone().into() }
    }

    /// A page of `authority`, a further name, is our own even if the proxy in front asks under another `Host`.
    pub fn admits_pages_of(&self, authority: &str) -> bool {
        self.further.iter().any(|host| host.is(authority))
    }

    /// `host` is the value of the header: a name or an address, with or without a port.
    fn admits(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host();
        if self.further.iter().any(|host| host.is_named(name)) {
            return true;
        }
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
            let hosts = vec![HostName::parse("dsmil.example:8443").expect("a name")];
            let hosts = Hosts::of(&WebConfig { listen: listen.parse().expect("an address"), hosts, max_sessions: 1 });
            assert_eq!(hosts.admits(host), admitted, "listening on {listen}, asked for {host:?}");
        };
        for host in ["localhost", "LOCALHOST:8787", "127.0.0.1", "127.0.0.1:8787", "[::1]:8787", "127.9.9.9:1"] {
            check("127.0.0.1:8787", host, true);
        }
        for host in ["", "evil.example", "localhost.evil.example:8787", "192.0.2.7:8787", "a b", "evil@127.0.0.1.x"] {
            check("127.0.0.1:8787", host, false);
        }
        for (host, admitted) in [("dsmil.example", true), ("DSMIL.example:1", true), ("x.dsmil.example", false)] {
            check("127.0.0.1:8787", host, admitted);
        }
        check("192.0.2.7:8787", "192.0.2.7:8787", true);
        check("192.0.2.7:8787", "192.0.2.8:8787", false);
        check("0.0.0.0:8787", "192.0.2.8:8787", true);
        check("0.0.0.0:8787", "evil.example:8787", false);
    }
}
