//! The state of the network as `net.links` tells it, whichever way it was read.
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct NetState {
    pub links: Vec<Link>,
    /// None: could not be read.
    pub addrs: Option<Vec<Addr>>,
    pub routes: Option<Vec<Route>>,
    pub neigh: Option<Vec<Neighbour>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Link {
    pub name: String,
    pub index: Option<u32>,
    /// `bridge`, `veth`, `wireguard` ...; null for hardware and what does not say.
    pub kind: Option<String>,
    pub address: Option<String>,
    pub mtu: Option<u32>,
    /// `up`, `down`, `unknown` ...
    pub state: Option<String>,
    pub flags: Vec<String>,
    pub counters: Option<Counters>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counters {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Addr {
    pub link: String,
    pub address: IpAddr,
    pub prefix: u8,
    pub scope: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Route {
    /// `default`, or an address and a prefix length.
    pub destination: String,
    pub gateway: Option<IpAddr>,
    pub link: Option<String>,
    pub metric: Option<u32>,
    /// Who made it: `kernel`, `static`, `dhcp` ...
    pub protocol: Option<String>,
    pub table: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Neighbour {
    pub address: IpAddr,
    pub link: String,
    pub link_address: Option<String>,
    pub state: Option<String>,
}

/// `default`, or `address/prefix`.
pub fn destination(address: Option<IpAddr>, prefix: u8) -> String {
    match address {
        Some(address) if prefix > 0 || !address.is_unspecified() => format!("{address}/{prefix}"),
        _ => "default".to_owned(),
    }
}

/// Link-layer addresses as people write them.
pub fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// The names of the interface flags (IFF_*) worth telling.
pub fn flag_names(bits: u32) -> Vec<String> {
    let named = [
        (0x1, "up"),
        (0x2, "broadcast"),
        (0x8, "loopback"),
        (0x10, "point_to_point"),
        (0x40, "running"),
        (0x80, "no_arp"),
        (0x100, "promisc"),
        (0x200, "all_multicast"),
        (0x1000, "multicast"),
        (0x1_0000, "lower_up"),
    ];
    named.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect()
}
