//! Links, addresses, routes and neighbours from the kernel over rtnetlink.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use rtnetlink::packet_core::Emitable;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkInfo, LinkMessage, Stats64};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::tools::evidence::Reader;
use crate::tools::evidence::Started;
use crate::tools::evidence::Unread;
use crate::tools::evidence::sha256;
use crate::tools::host::net_state;
use crate::tools::host::net_state::Addr;
use crate::tools::host::net_state::Counters;
use crate::tools::host::net_state::Link;
use crate::tools::host::net_state::Neighbour;
use crate::tools::host::net_state::NetState;
use crate::tools::host::net_state::Route;

const PATIENCE: Duration = Duration::from_secs(5);
/// The kernel's own addresses; the address list has them already.
const LOCAL_TABLE: u32 = 255;

/// The messages of one dump of each kind.
struct Dump {
    links: Vec<LinkMessage>,
    addrs: Vec<AddressMessage>,
    routes: Vec<RouteMessage>,
    neigh: Vec<NeighbourMessage>,
}

/// Asks the kernel. Must be called on a blocking thread: it runs a small runtime of its own.
pub fn read(reader: &mut Reader<'_>) -> Result<NetState, Unread> {
    let started = Started::now(reader.cx);
    let failed = |why: String| Unread::Io { what: "rtnetlink".to_owned(), why };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let patience = PATIENCE.min(reader.cx.remaining());
    let dump = runtime
        .block_on(async { tokio::time::timeout(patience, dump()).await })
        .map_err(|_| failed(format!("no answer within {} s", patience.as_secs())))?
        .map_err(failed)?;
    let mut bytes = Vec::new();
    dump.links.iter().for_each(|message| emit(message, &mut bytes));
    dump.addrs.iter().for_each(|message| emit(message, &mut bytes));
    dump.routes.iter().for_each(|message| emit(message, &mut bytes));
    dump.neigh.iter().for_each(|message| emit(message, &mut bytes));
    let source = "rtnetlink dump of links, addresses, routes and neighbours".to_owned();
    reader.push(started.evidence(reader.cx, source, sha256(&bytes), bytes.len() as u64, false));
    Ok(state(&dump))
}

async fn dump() -> Result<Dump, String> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| error.to_string())?;
    let pump = tokio::spawn(connection);
    let answer = ask(&handle).await.map_err(|error| error.to_string());
    pump.abort();
    answer
}

async fn ask(handle: &Handle) -> Result<Dump, rtnetlink::Error> {
    let mut routes = all(handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute()).await?;
    routes.extend(all(handle.route().get(RouteMessageBuilder::<Ipv6Addr>::new().build()).execute()).await?);
    Ok(Dump {
        links: all(handle.link().get().execute()).await?,
        addrs: all(handle.address().get().execute()).await?,
        neigh: all(handle.neighbours().get().execute()).await?,
        routes,
    })
}

async fn all<T>(stream: impl Stream<Item = Result<T, rtnetlink::Error>>) -> Result<Vec<T>, rtnetlink::Error> {
    stream.try_collect().await
}

fn emit(message: &impl Emitable, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + message.buffer_len(), 0);
    message.emit(&mut bytes[start..]);
}

fn state(dump: &Dump) -> NetState {
    let links: Vec<Link> = dump.links.iter().map(link).collect();
    let names: BTreeMap<u32, String> = links.iter().filter_map(|link| Some((link.index?, link.name.clone()))).collect();
    let name = |index: u32| names.get(&index).cloned().unwrap_or_else(|| format!("#{index}"));
    NetState {
        addrs: Some(dump.addrs.iter().filter_map(|message| addr(message, &name)).collect()),
        routes: Some(dump.routes.iter().flat_map(|message| routes(message, &name)).collect()),
        neigh: Some(dump.neigh.iter().filter_map(|message| neighbour(message, &name)).collect()),
        links,
    }
}

fn link(message: &LinkMessage) -> Link {
    let flags = net_state::flag_names(message.header.flags.bits());
    let mut link = Link { index: Some(message.header.index), flags, ..Link::default() };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.address = Some(net_state::colons(bytes)),
            LinkAttribute::Mtu(mtu) => link.mtu = Some(*mtu),
            LinkAttribute::OperState(state) => link.state = Some(state.to_string().to_ascii_lowercase()),
            LinkAttribute::Stats64(stats) => link.counters = Some(counters(stats)),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

fn counters(stats: &Stats64) -> Counters {
    Counters {
        rx_bytes: stats.rx_bytes,
        rx_packets: stats.rx_packets,
        rx_errors: stats.rx_errors,
        rx_dropped: stats.rx_dropped,
        tx_bytes: stats.tx_bytes,
        tx_packets: stats.tx_packets,
        tx_errors: stats.tx_errors,
        tx_dropped: stats.tx_dropped,
    }
}

/// On point-to-point links `Address` is the peer and `Local` the own address.
fn addr(message: &AddressMessage, name: &impl Fn(u32) -> String) -> Option<Addr> {
    let (mut local, mut other) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => other = Some(*address),
            _ => {}
        }
    }
    Some(Addr {
        link: name(message.header.index),
        address: local.or(other)?,
        prefix: message.header.prefix_len,
        scope: Some(message.header.scope.to_string().to_ascii_lowercase()),
    })
}

/// One entry per next hop.
fn routes(message: &RouteMessage, name: &impl Fn(u32) -> String) -> Vec<Route> {
    let header = &message.header;
    let (mut table, mut metric, mut to, mut hops) = (u32::from(header.table), None, None, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(priority) => metric = Some(*priority),
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::MultiPath(next) => {
                hops.extend(next.iter().map(|hop| (Some(hop.interface_index), gateway(&hop.attributes))));
            }
            _ => {}
        }
    }
    if table == LOCAL_TABLE {
        return Vec::new();
    }
    if hops.is_empty() {
        let oif = message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        hops.push((oif, gateway(&message.attributes)));
    }
    let route = |(link, gateway): (Option<u32>, Option<IpAddr>)| Route {
        destination: net_state::destination(to, header.destination_prefix_length),
        gateway,
        link: link.map(name),
        metric,
        protocol: Some(header.protocol.to_string().to_ascii_lowercase()),
        table: Some(table),
    };
    hops.into_iter().map(route).collect()
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// Entries without address resolution (loopback, multicast) are no neighbours.
fn neighbour(message: &NeighbourMessage, name: &impl Fn(u32) -> String) -> Option<Neighbour> {
    if message.header.state == NeighbourState::Noarp {
        return None;
    }
    let (mut address, mut link_address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => link_address = Some(net_state::colons(bytes)),
            _ => {}
        }
    }
    let state = Some(message.header.state.to_string().to_ascii_lowercase());
    Some(Neighbour { address: address?, link: name(message.header.ifindex), link_address, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn this_kernel_knows_its_loopback() {
        let cx = FixtureCx::live();
        let mut reader = Reader::new(&cx);
        let state = read(&mut reader).expect("rtnetlink answers every process");
        let lo = state.links.iter().find(|link| link.flags.iter().any(|flag| flag == "loopback")).expect("a loopback");
        assert!(lo.index.is_some() && lo.mtu.is_some());
        let own = state.addrs.expect("addresses");
        assert!(own.iter().all(|addr| state.links.iter().any(|link| link.name == addr.link)));
    }

    #[test]
    fn a_multipath_route_is_told_hop_by_hop() {
        let hop = |index: u32, last: u8| {
            let mut hop = rtnetlink::packet_route::route::RouteNextHop::default();
            hop.interface_index = index;
            hop.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(Ipv4Addr::new(10, 0, 0, last)))];
            hop
        };
        let mut message = RouteMessage::default();
        message.attributes = vec![RouteAttribute::MultiPath(vec![hop(2, 1), hop(3, 2)])];
        let told = routes(&message, &|index| format!("eth{index}"));
        assert_eq!(told.len(), 2);
        assert_eq!((told[1].link.as_deref(), told[1].destination.as_str()), (Some("eth3"), "default"));
        message.attributes.push(RouteAttribute::Table(LOCAL_TABLE));
        assert_eq!(routes(&message, &|index| format!("eth{index}")), []);
    }
}
