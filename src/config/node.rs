//! `[node]`: the name under which this host signs and stores.
use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;
use crate::config::source::Place;
use crate::ids::NodeId;

pub const KEYS: &[Key] = &[Key::computed("node.id", Shape::Text, default_id)];

pub fn read(layers: &mut Layers) -> Option<NodeId> {
    layers.parse("node.id", NodeId::new)
}

/// The host name, made to fit the rule of node ids.
fn default_id(place: &Place) -> String {
    let fitting: String = place
        .hostname
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .skip_while(|c| *c == '-')
        .take(64)
        .collect();
    let fitting = fitting.trim_end_matches('-');
    if fitting.is_empty() { "node".to_owned() } else { fitting.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use proptest::prelude::{any, proptest};

    use super::*;

    fn id_of(hostname: &str) -> String {
        default_id(&Place::new(false, &BTreeMap::new(), PathBuf::from("/"), hostname.to_owned()))
    }

    #[test]
    fn a_host_name_becomes_a_node_id() {
        for (hostname, id) in [("web-1", "web-1"), ("Big.Iron_7.", "big-iron-7"), ("", "node"), ("--", "node")] {
            assert_eq!(id_of(hostname), id, "{hostname}");
        }
    }

    proptest! {
        #[test]
        fn any_host_name_gives_a_valid_node_id(hostname in any::<String>()) {
            assert!(NodeId::new(&id_of(&hostname)).is_ok());
        }
    }
}
