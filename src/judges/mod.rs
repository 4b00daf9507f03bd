//! What agents conclude from tool results: one judge per agent, each a pure function of one result.
//!
//! A judge sees `ok` and `degraded` results only; a value that is missing is not judged. An agent that is not in
//! the list below reports what its tools say and concludes nothing.
pub mod finding;
mod hardware_intel;
mod infrastructure;
mod integrity_sentinel;
mod pacer;
mod package_verifier;
mod persistence_hunter;

use serde_json::Value;

use crate::ids::{AgentId, ToolId};
use crate::judges::finding::{Claim, Finding};
use crate::toolkit::output::{Output, Status};

/// From the data of one tool to what is to be said about it.
type Judge = fn(tool: &str, data: &Value) -> Vec<Claim>;

/// Every judge, by agent, in alphabetical order.
const ALL: &[(&str, Judge)] = &[
    ("HARDWARE-INTEL", hardware_intel::judge),
    ("INFRASTRUCTURE", infrastructure::judge),
    ("INTEGRITY-SENTINEL", integrity_sentinel::judge),
    ("PACER", pacer::judge),
    ("PACKAGE-VERIFIER", package_verifier::judge),
    ("PERSISTENCE-HUNTER", persistence_hunter::judge),
];

/// The findings of `agent` on one result.
pub fn conclude(agent: &AgentId, tool: &ToolId, output: &Output) -> Vec<Finding> {
    let Ok(place) = ALL.binary_search_by_key(&agent.as_str(), |(id, _)| *id) else { return Vec::new() };
    if !matches!(output.status, Status::Ok | Status::Degraded) {
        return Vec::new();
    }
    let claims = ALL[place].1(tool.as_str(), &output.data);
    claims.into_iter().map(|claim| claim.by(agent, output)).collect()
}

/// The members of an array in `data`, or none: judges never fail on a shape they do not know.
fn members<'a>(data: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    data[key].as_array().into_iter().flatten()
}

fn text<'a>(data: &'a Value, key: &str) -> &'a str {
    data[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn judges_are_listed_in_order_and_once() {
        assert!(ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (agent, _) in ALL {
            AgentId::new(agent).expect("an agent id");
        }
    }

    #[test]
    fn nothing_is_concluded_from_a_result_without_data() {
        let agent = AgentId::new("PACER").expect("id");
        let tool = ToolId::new("load.read").expect("id");
        let mut output = Output::ok(json!({"psi": {"mem": {"some": {"avg60": 90.0}}}}), Vec::new());
        assert!(!conclude(&agent, &tool, &output).is_empty());
        output.status = Status::Unavailable;
        assert!(conclude(&agent, &tool, &output).is_empty());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            "[a-z/]{0,6}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            "psi", "mem", "cpu", "vulns", "mounts", "promisc", "items", "changed", "pkgs", "state", "name", "some",
            "avg60"
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_judge_fails_on_a_shape_it_does_not_know(data in any_json()) {
            for (_, judge) in ALL {
                for tool in ["load.read", "cpu.inspect", "storage.map", "net.links", "fs.manifest", "persist.list", "pkg.inventory"] {
                    judge(tool, &data);
                }
            }
        }
    }
}
