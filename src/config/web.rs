//! `[web]`: the address of the HTTP interface, and the names it is known by.
use std::net::SocketAddr;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] = &[
    Key::new("web.listen", Shape::Text, "127.0.0.1:8787"),
    Key::new("web.hosts", Shape::List, ""),
    Key::new("web.max_sessions", Shape::Whole, "256"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    /// A loopback address. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Further names that are answered, of the proxy in front.
    pub hosts: Vec<HostName>,
    /// Live feeds that may be open at once.
    pub max_sessions: usize,
}

/// A host as browsers name it: a name or an IPv4 address, with its port unless that is the default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host name as browsers show it, such as dsmil.example or dsmil.example:8443")]
pub struct BadHostName(String);

impl HostName {
    pub fn parse(text: &str) -> Result<Self, BadHostName> {
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        let is_label = |label: &str| {
            let of_name = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            of_name && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
        };
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        if name.split('.').all(is_label) && port.is_none_or(is_port) {
            Ok(HostName(text.to_owned()))
        } else {
            Err(BadHostName(text.to_owned()))
        }
    }

    /// Whether `authority`, as in an origin, is this very host and port.
    pub fn is(&self, authority: &str) -> bool {
        self.0.eq_ignore_ascii_case(authority)
    }

    /// Whether this is the host, whatever its port.
    pub fn is_named(&self, name: &str) -> bool {
        self.0.split_once(':').map_or(&*self.0, |(name, _)| name).eq_ignore_ascii_case(name)
    }
}

impl WebConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let listen = layers.parse("web.listen", |text| match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(address),
            Ok(_) => {
                Err("only loopback addresses (127.0.0.1, [::1]) are served, since this release has no TLS yet; put \
                          an ssh tunnel in front, or a TLS proxy whose name web.hosts lists, to reach the service from \
                          elsewhere")
            }
            Err(_) => Err("must be an IP address and a port, such as 127.0.0.1:8787"),
        });
        let hosts = layers.list("web.hosts", HostName::parse);
        let max_sessions = layers.whole("web.max_sessions", 1, 4_096).and_then(|n| usize::try_from(n).ok());
        Some(WebConfig { listen: listen?, hosts: hosts?, max_sessions: max_sessions? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_what_a_browser_shows_and_nothing_else() {
        for right in ["dsmil.example", "DSMIL.example:8443", "host-1", "192.0.2.7", "192.0.2.7:1"] {
            assert!(HostName::parse(right).is_ok(), "{right}");
        }
        for wrong in
            ["", "*", "*.example", "https://a.example", "a.example/", "a..b", ".a", "-a", "a_b", "a:", "a:x", "a:+1"]
        {
            assert_eq!(HostName::parse(wrong), Err(BadHostName(wrong.to_owned())));
        }
        let host = HostName::parse("dsmil.example:8443").expect("right");
        assert!(host.is("DSMIL.example:8443") && !host.is("dsmil.example"));
        assert!(host.is_named("Dsmil.example") && !host.is_named("dsmil.example.evil"));
    }
}
