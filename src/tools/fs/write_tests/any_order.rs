//! Whatever was planned, applied and undone in whatever order: to undo all of it in reverse gives the tree there was.
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::toolkit::change::{CHANGED_SINCE, Settled};
use crate::toolkit::output::Status;
use crate::tools::fs::write_tests::{Host, ok, refused};

const PATHS: [&str; 6] = ["a", "b", "d/a", "d/b", "d/e/a", "x/y/z"];
const MODES: [&str; 3] = ["0600", "0644", "0750"];

#[derive(Debug, Clone)]
enum Act {
    Plan {
        path: usize,
        content: Vec<u8>,
        mode: Option<usize>,
    },
    /// One of the plans that were made, by a number that is folded into their count.
    Apply(usize),
    Undo(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let content = prop_oneof![prop::collection::vec(any::<u8>(), 0..6), prop::collection::vec(0..2_u8, 0..2)];
    prop_oneof![
        3 => (0..PATHS.len(), content, prop::option::of(0..MODES.len()))
            .prop_map(|(path, content, mode)| Act::Plan { path, content, mode }),
        3 => any::<usize>().prop_map(Act::Apply),
        1 => any::<usize>().prop_map(Act::Undo),
    ]
}

/// Applies or undoes; a refusal must be for a change and change nothing.
fn attempt(host: &Host, plan: &Value, apply: bool) -> bool {
    let before = host.tree();
    let output = if apply { host.apply(plan) } else { host.undo(plan) };
    if output.status == Status::Ok {
        if apply {
            assert!(matches!(host.settle(plan), Settled::Applied { .. }));
        } else {
            assert_ne!(std::mem::discriminant(&host.settle(plan)), std::mem::discriminant(&neither()));
        }
        return true;
    }
    assert_eq!(refused(&output), (Status::Failed, CHANGED_SINCE));
    assert_eq!(host.tree(), before, "a refusal changes nothing");
    false
}

fn neither() -> Settled {
    Settled::Neither { detail: String::new() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn all_undone_in_reverse_is_the_tree_there_was(
        there in prop::collection::vec((0..5_usize, "[a-z]{0,4}", prop::sample::select(vec![0o600_u32, 0o640, 0o755])), 0..4),
        acts in prop::collection::vec(act(), 1..24),
    ) {
        let host = Host::new();
        for (path, content, mode) in there {
            host.put(PATHS[path], &content, mode);
        }
        let before = host.tree();
        let mut plans: Vec<Value> = Vec::new();
        let mut applied: Vec<Value> = Vec::new();
        for act in acts {
            match act {
                Act::Plan { path, content, mode } => {
                    let content: String = content.iter().map(|byte| char::from(*byte)).collect();
                    let mut input = json!({"path": PATHS[path], "content": content});
                    if let Some(mode) = mode {
                        input["mode"] = json!(MODES[mode]);
                    }
                    plans.push(host.planned(input));
                }
                Act::Apply(number) if !plans.is_empty() => {
                    let plan = &plans[number % plans.len()];
                    if attempt(&host, plan, true) {
                        applied.push(plan.clone());
                    }
                }
                // The newest only, as the engine does; an older one is refused or is the same change again.
                Act::Undo(number) if !applied.is_empty() && number % 2 == 0 => {
                    let plan = applied.pop().expect("one");
                    ok(&host.undo(&plan));
                }
                Act::Undo(_) | Act::Apply(_) => {}
            }
        }
        for plan in applied.iter().rev() {
            ok(&host.undo(plan));
        }
        prop_assert_eq!(host.tree(), before);
    }
}
