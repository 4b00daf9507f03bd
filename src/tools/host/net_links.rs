//! `net.links`: links, addresses, routes, neighbours, radio switches and promiscuous flags.
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::spec::Tool;
use crate::toolkit::spec::ToolSpec;
use crate::tools::bundle::Bundle;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Unread;
use crate::tools::host::net_state;
use crate::tools::host::net_state::Addr;
use crate::tools::host::net_state::Link;
use crate::tools::host::net_state::Neighbour;
use crate::tools::host::net_state::NetState;
use crate::tools::host::net_state::Route;
use crate::tools::host::netlink;
use crate::tools::host::procnet;
use crate::tools::input;
use crate::tools::schema;

pub struct NetLinks;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Only the network namespace of the service can be read.
    #[serde(default)]
    netns: Namespace,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
enum Namespace {
    #[default]
    #[serde(rename = "self")]
    Own,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Network {
    /// `netlink` or `procnet`.
    source: Option<&'static str>,
    links: Option<Vec<Link>>,
    addrs: Option<Vec<Addr>>,
    routes: Option<Vec<Route>>,
    neigh: Option<Vec<Neighbour>>,
    rfkill: Option<Vec<Radio>>,
    /// Links that take in what is not addressed to them.
    promisc: Option<Vec<String>>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Radio {
    id: String,
    name: Option<String>,
    /// `wlan`, `bluetooth`, `wwan` ...
    kind: Option<String>,
    soft_blocked: Option<bool>,
    hard_blocked: Option<bool>,
}

impl Tool for NetLinks {
    fn spec(&self) -> ToolSpec {
        let what = "Network links, addresses, routes, neighbours, radio switches and promiscuous flags";
        schema::read_only::<Input, Network>("net.links", what, "none", Duration::from_secs(30))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        read(cx, input).unwrap_or_else(|stopped| *stopped)
    }
}

fn read(cx: &ToolCx, input: &Value) -> Result<Output, Box<Output>> {
    let Input { netns: Namespace::Own } = input::parse(input)?;
    let mut reader = Reader::new(cx);
    let (source, state) = state(&mut reader);
    cx.go_on()?;
    let rfkill = rfkill(&mut reader);
    let promisc = promisc(&mut reader, &state.links);
    let NetState { links, addrs, routes, neigh } = state;
    let links = source.map(|_| links);
    Ok(reader.finish(Network { source, links, addrs, routes, neigh, rfkill, promisc }))
}

fn state(reader: &mut Reader<'_>) -> (Option<&'static str>, NetState) {
    if reader.is_live() {
        match netlink::read(reader) {
            Ok(state) => return (Some("netlink"), state),
            Err(unread) => reader.gap("netlink", &unread),
        }
    }
    match procnet::read(reader) {
        Ok(state) => (Some("procnet"), state),
        Err(unread) => {
            ["links", "addrs", "routes", "neigh"].iter().for_each(|field| reader.gap(field, &unread));
            (None, NetState::default())
        }
    }
}

fn rfkill(reader: &mut Reader<'_>) -> Option<Vec<Radio>> {
    let dir = reader.sys("class/rfkill");
    let mut bundle = Bundle::new(reader.cx, dir.display().to_string());
    let listed = bundle.list(&dir);
    let mut radios = Vec::new();
    for entry in reader.or_gap("rfkill", listed)? {
        let mut get = |name: &str| bundle.trimmed(&entry.path.join(name)).ok();
        let blocked = |text: Option<String>| text.map(|flag| flag != "0");
        radios.push(Radio {
            name: get("name"),
            kind: get("type"),
            soft_blocked: blocked(get("soft")),
            hard_blocked: blocked(get("hard")),
            id: entry.name,
        });
    }
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    Some(radios)
}

/// sysfs tells of promiscuity that a packet socket asked for, which the flags over netlink leave out.
fn promisc(reader: &mut Reader<'_>, links: &[Link]) -> Option<Vec<String>> {
    let dir = reader.sys("class/net");
    let mut bundle = Bundle::new(reader.cx, dir.join("*/flags").display().to_string());
    let listed = bundle.list(&dir);
    let mut promisc = Vec::new();
    for entry in reader.or_gap("promisc", listed)? {
        let bits = match bundle.trimmed(&entry.path.join("flags")) {
            Ok(text) => u32::from_str_radix(text.trim_start_matches("0x"), 16).ok(),
            // `bonding_masters` is a file among the links
            Err(Unread::Missing { .. }) => continue,
            Err(unread) => {
                reader.gap(&format!("promisc.{}", entry.name), &unread);
                continue;
            }
        };
        let has = |flags: &[String]| flags.iter().any(|flag| flag == "promisc");
        let told = links.iter().any(|link| link.name == entry.name && has(&link.flags));
        if told || bits.is_some_and(|bits| has(&net_state::flag_names(bits))) {
            promisc.push(entry.name);
        }
    }
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    Some(promisc)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn a_fixture_is_read_from_proc_net() {
        let output = NetLinks.call(&FixtureCx::named("latitude"), &json!({"netns": "self"}));
        assert_eq!(output.status, Status::Degraded, "IPv4 addresses need netlink");
        let data = &output.data;
        assert_eq!(data["source"], "procnet");
        assert_eq!(data["links"][1]["name"], "wlp0s20f3");
        assert_eq!(data["links"][1]["counters"]["rx_bytes"], 245_616_677);
        assert_eq!(data["links"][1]["flags"], json!(["up", "broadcast", "promisc", "multicast"]));
        assert_eq!(data["promisc"], json!(["wlp0s20f3"]));
        let gateway = json!({"destination": "default", "gateway": "192.0.2.1", "link": "wlp0s20f3",
            "metric": 600, "protocol": null, "table": null});
        assert_eq!(data["routes"][0], gateway);
        assert_eq!(data["neigh"][0]["link_address"], "02:fc:00:00:00:05");
        let radio =
            json!({"id": "rfkill0", "name": "phy0", "kind": "wlan", "soft_blocked": false, "hard_blocked": false});
        assert_eq!(data["rfkill"], json!([radio]));
    }

    #[test]
    fn a_vm_has_no_radio_switch_and_says_so() {
        let output = NetLinks.call(&FixtureCx::named("bare-vm"), &Value::Null);
        assert_eq!(output.status, Status::Degraded);
        assert_eq!(output.data["rfkill"], Value::Null);
        assert_eq!(output.data["promisc"], json!([]));
        let gaps = output.data["not_assessed"].as_array().expect("gaps");
        assert!(gaps.iter().any(|gap| gap["field"] == "rfkill" && gap["code"] == "no_facility"), "{gaps:?}");
    }

    #[test]
    fn another_namespace_is_refused() {
        let output = NetLinks.call(&FixtureCx::empty(), &json!({"netns": "blue"}));
        assert_eq!(output.reason.expect("a reason").facility, "netns");
        assert_eq!(NetLinks.call(&FixtureCx::empty(), &Value::Null).status, Status::Unavailable);
    }

    #[test]
    fn this_host_answers_over_netlink() {
        let output = NetLinks.call(&FixtureCx::live(), &Value::Null);
        assert!(matches!(output.status, Status::Ok | Status::Degraded), "{:?}", output.reason);
        assert_eq!(output.data["source"], "netlink");
        assert!(output.evidence.iter().any(|record| record.source.starts_with("rtnetlink") && record.bytes > 0));
    }
}
