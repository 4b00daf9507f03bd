//! `[web]`: the address of the HTTP interface.
use std::net::SocketAddr;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] = &[Key::new("web.listen", Shape::Text, "127.0.0.1:8787")];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    /// A loopback address. Port 0 lets the system choose.
    pub listen: SocketAddr,
}

impl WebConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let listen = layers.parse("web.listen", |text| match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(address),
            Ok(_) => Err("only loopback addresses (127.0.0.1, [::1]) are served, since this release has no TLS yet; \
                          put a TLS proxy or an ssh tunnel in front to reach the service from elsewhere"),
            Err(_) => Err("must be an IP address and a port, such as 127.0.0.1:8787"),
        });
        Some(WebConfig { listen: listen? })
    }
}
