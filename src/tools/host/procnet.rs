//! What `/proc/net` tells of the network, for hosts and sandboxes where netlink is refused.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::tools::bundle::Bundle;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Unread;
use crate::tools::host::net_state;
use crate::tools::host::net_state::Addr;
use crate::tools::host::net_state::Counters;
use crate::tools::host::net_state::Link;
use crate::tools::host::net_state::Neighbour;
use crate::tools::host::net_state::NetState;
use crate::tools::host::net_state::Route;

/// Reads what there is; the parts that are missing are noted as gaps. Fails when not even the links can be read.
pub fn read(reader: &mut Reader<'_>) -> Result<NetState, Unread> {
    let device = reader.text(&reader.proc("net/dev"))?;
    let mut links: Vec<Link> = device.lines().filter_map(link).collect();
    let class = reader.sys("class/net");
    let mut bundle = Bundle::new(reader.cx, class.display().to_string());
    for link in &mut links {
        let dir = class.join(&link.name);
        let mut get = |name: &str| bundle.trimmed(&dir.join(name)).ok().filter(|text| !text.is_empty());
        link.index = get("ifindex").and_then(|text| text.parse().ok());
        link.address = get("address");
        link.mtu = get("mtu").and_then(|text| text.parse().ok());
        link.state = get("operstate");
        link.flags = get("flags").and_then(|text| hex(&text)).map(net_state::flag_names).unwrap_or_default();
    }
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    let v6 = optional(reader, "net/if_inet6", "addrs.v6");
    reader.gap("addrs.v4", &Unread::Missing { what: "a file in /proc/net with IPv4 addresses".to_owned() });
    let v4_routes = optional(reader, "net/route", "routes.v4");
    let v6_routes = optional(reader, "net/ipv6_route", "routes.v6");
    let arp = optional(reader, "net/arp", "neigh.v4");
    let routes = match (&v4_routes, &v6_routes) {
        (None, None) => None,
        (v4, v6) => {
            let v4 = v4.as_deref().unwrap_or_default().lines().skip(1).filter_map(route4);
            Some(v4.chain(v6.as_deref().unwrap_or_default().lines().filter_map(route6)).collect())
        }
    };
    Ok(NetState {
        links,
        addrs: v6.map(|text| text.lines().filter_map(addr6).collect()),
        routes,
        neigh: arp.map(|text| text.lines().skip(1).filter_map(neighbour).collect()),
    })
}

/// A kernel without IPv6 has none of its files: that is no gap. Everything else that is missing is one.
fn optional(reader: &mut Reader<'_>, file: &str, field: &str) -> Option<String> {
    match reader.text(&reader.proc(file)) {
        Err(Unread::Missing { .. }) if field.ends_with("v6") => Some(String::new()),
        read => reader.or_gap(field, read),
    }
}

/// `eth0: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes packets errs drop ..`
fn link(line: &str) -> Option<Link> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
        numbers[..]
    else {
        return None;
    };
    let counters =
        Counters { rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped };
    let name = name.trim();
    // the name becomes part of a path
    let plain = !name.is_empty() && !name.contains('/') && name != "..";
    plain.then(|| Link { name: name.to_owned(), counters: Some(counters), ..Link::default() })
}

/// `fe80.. 04 40 20 80 eth0`: address, index, prefix, scope, flags, name.
fn addr6(line: &str) -> Option<Addr> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [address, _, prefix, scope, _, link] = words[..] else { return None };
    let scope = match hex(scope)? {
        0x00 => "universe",
        0x10 => "host",
        0x20 => "link",
        0x40 => "site",
        _ => "other",
    };
    Some(Addr {
        link: link.to_owned(),
        address: IpAddr::V6(v6(address)?),
        prefix: u8::try_from(hex(prefix)?).ok()?,
        scope: Some(scope.to_owned()),
    })
}

/// `eth0 00000000 0102A8C0 0003 0 0 100 00000000 ..`: addresses are hexadecimal in the byte order of the machine.
fn route4(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [link, to, gateway, _, _, _, metric, mask, ..] = words[..] else { return None };
    let address = |text: &str| hex(text).map(|bits| Ipv4Addr::from(bits.to_ne_bytes()));
    let prefix = u8::try_from(hex(mask)?.count_ones()).ok()?;
    let gateway = address(gateway)?;
    Some(Route {
        destination: net_state::destination(Some(IpAddr::V4(address(to)?)), prefix),
        gateway: (!gateway.is_unspecified()).then_some(IpAddr::V4(gateway)),
        link: Some(link.to_owned()),
        metric: metric.parse().ok(),
        protocol: None,
        table: None,
    })
}

/// Destination, prefix, source, prefix, next hop, metric, reference count, use, flags, device.
fn route6(line: &str) -> Option<Route> {
    const RTF_LOCAL: u32 = 0x8000_0000;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [to, prefix, _, _, gateway, metric, _, _, flags, link] = words[..] else { return None };
    if hex(flags)? & RTF_LOCAL != 0 {
        return None;
    }
    let gateway = v6(gateway)?;
    let prefix = u8::try_from(hex(prefix)?).ok()?;
    Some(Route {
        destination: net_state::destination(Some(IpAddr::V6(v6(to)?)), prefix),
        gateway: (!gateway.is_unspecified()).then_some(IpAddr::V6(gateway)),
        link: Some(link.to_owned()),
        metric: hex(metric),
        protocol: None,
        table: None,
    })
}

/// Address, hardware type, flags, hardware address, mask, device.
fn neighbour(line: &str) -> Option<Neighbour> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [address, _, flags, link_address, _, link] = words[..] else { return None };
    let state = match hex(flags)? {
        flags if flags & 0x4 != 0 => "permanent",
        flags if flags & 0x2 != 0 => "complete",
        _ => "incomplete",
    };
    Some(Neighbour {
        address: address.parse().ok()?,
        link: link.to_owned(),
        link_address: (link_address != "00:00:00:00:00:00").then(|| link_address.to_owned()),
        state: Some(state.to_owned()),
    })
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

fn v6(text: &str) -> Option<Ipv6Addr> {
    let bits = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32).then(|| Ipv6Addr::from(bits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_each_file_are_read() {
        let eth0 = link("  eth0: 10 2 0 1 0 0 0 0 30 4 5 6 0 0 0 0").expect("a link");
        assert_eq!(eth0.name, "eth0");
        assert_eq!(eth0.counters.expect("counters").tx_dropped, 6);
        assert_eq!(link("../x: 1 2 3 4 5 6 7 8 9 10 11 12"), None, "not a name");
        let default = route4("eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0").expect("a route");
        assert_eq!((default.destination.as_str(), default.metric), ("default", Some(100)));
        assert_eq!(default.gateway, Some("192.0.2.1".parse().expect("an address")));
        let net = route4("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0").expect("a route");
        assert_eq!(net.destination, "192.0.2.0/24");
        let addr = addr6("fe8000000000000000fc00fffe000001 04 40 20 80     eth0").expect("an address");
        assert_eq!((addr.address.to_string().as_str(), addr.prefix), ("fe80::fc:ff:fe00:1", 64));
        let hop = neighbour("192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0").expect("a neighbour");
        assert_eq!(hop.state.as_deref(), Some("complete"));
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "[ -~\t]{0,120}") {
            let read = (link(&line), addr6(&line), route4(&line), route6(&line), neighbour(&line));
            prop_assert!(read.0.is_none() || line.contains(':'));
        }
    }
}
