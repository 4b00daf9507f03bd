//! Tests of the planning of group commits.
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ids::NodeId;

fn entry(op: &str) -> Entry {
    Entry {
        at: DateTime::from_timestamp(1_700_000_000, 0).expect("in range"),
        node: NodeId::new("n1").expect("valid"),
        epoch: 1,
        actor: "service".into(),
        op: op.into(),
        subject: "s".into(),
        outcome: "ok".into(),
        payload: None,
        detail: None,
    }
}

fn row(seq: u32, body: &str, audited: bool) -> JournalRow {
    JournalRow {
        seq,
        at: DateTime::from_timestamp(1_700_000_000, 0).expect("in range"),
        kind: "step_done".into(),
        step: None,
        agent: None,
        tool: None,
        status: None,
        body: json!({ "said": body }).into(),
        entry: audited.then(|| entry(body)),
    }
}

fn run(id: u128) -> RunId {
    RunId(Uuid::from_u128(id))
}

fn header(id: u128) -> RunHeader {
    let accepted = DateTime::from_timestamp(1_700_000_000, 0).expect("in range");
    let (name, mode, priority) = ("r".into(), "dag".into(), "normal".into());
    RunHeader { run: run(id), name, mode, priority, labels: json!({}), accepted }
}

fn work(id: u128, rows: Vec<JournalRow>, status: &str) -> Work {
    Work::run(run(id), None, rows, status.into(), None)
}

fn indexes(plan: &Plan) -> Vec<Vec<Option<u64>>> {
    let of = |answer: &Result<Answer, StoreError>| match answer {
        Ok(Answer::Run(appended)) => appended.indexes.clone(),
        Ok(Answer::Entries(range)) => range.clone().map(Some).collect(),
        Err(error) => panic!("{error}"),
    };
    plan.answers.iter().map(of).collect()
}

#[test]
fn entries_are_numbered_in_the_order_of_the_requests() {
    let works = [
        work(1, vec![row(0, "a", true), row(1, "b", false), row(2, "c", true)], "running"),
        Work::entries(&[entry("x"), entry("y")]),
        work(2, vec![row(0, "d", true)], "running"),
    ];
    let plan = Plan::new(works.iter(), 10, &Known::default());
    assert_eq!(indexes(&plan), [vec![Some(10), None, Some(11)], vec![Some(12), Some(13)], vec![Some(14)]]);
    assert_eq!(plan.indexes, 10..15);
    assert_eq!(plan.leaves.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
}

#[test]
fn one_run_is_changed_once_and_ends_with_its_last_status() {
    let first = Work::run(run(1), Some(header(1)), vec![row(0, "a", true)], "pending".into(), None);
    let works = [first, work(1, vec![row(1, "b", true)], "running"), work(2, vec![], "paused")];
    let plan = Plan::new(works.iter(), 0, &Known::default());
    let changes: Vec<_> = plan.runs.iter().map(|change| (change.run, change.header.is_some(), change.status)).collect();
    assert_eq!(changes, [(run(1), true, "running"), (run(2), false, "paused")]);
}

#[test]
fn a_repeat_is_answered_as_before_and_writes_nothing() {
    let stored = StoredRow { index: Some(7), same: true };
    let known = Known { runs: [run(1).0].into(), rows: [((run(1).0, 0), stored)].into(), ..Known::default() };
    let works = [work(1, vec![row(0, "a", true)], "pending")];
    let plan = Plan::new(works.iter(), 30, &known);
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(indexes(&plan), [vec![Some(7)]]);
}

#[test]
fn a_repeat_within_the_group_gets_the_index_of_the_first() {
    let works = [work(1, vec![row(0, "a", true)], "running"), work(1, vec![row(0, "a", true)], "running")];
    let plan = Plan::new(works.iter(), 3, &Known::default());
    assert_eq!(indexes(&plan), [vec![Some(3)], vec![Some(3)]]);
    assert_eq!((plan.rows.len(), plan.leaves.len()), (1, 1));
}

#[test]
fn a_repeat_that_says_something_else_is_refused_alone() {
    let other =
        [work(1, vec![row(0, "a", true)], "x"), work(1, vec![row(0, "B", true)], "x"), Work::entries(&[entry("e")])];
    let plan = Plan::new(other.iter(), 0, &Known::default());
    assert!(matches!(&plan.answers[1], Err(StoreError::Refused { detail }) if detail.contains("row 0")));
    assert_eq!(plan.answers[2], Ok(Answer::Entries(1..2)));
}

#[test]
fn nul_becomes_its_picture_and_nothing_else_changes() {
    for (value, expected) in [
        (json!({"a\u{0}": ["b\u{0}c", 1, null]}), "{\"a\u{2400}\":[\"b\u{2400}c\",1,null]}"),
        (json!("\\u0000"), "\"\\\\u0000\""),
        (json!({"x": 1.5}), "{\"x\":1.5}"),
    ] {
        assert_eq!(json_text(&value), expected);
    }
}

#[test]
fn the_leaf_hash_is_that_of_rfc_6962() {
    let leaf = Leaf::of(&entry("op"));
    let mut prefixed = vec![0];
    prefixed.extend_from_slice(&entry("op").canonical());
    assert_eq!(leaf.hash.0, <[u8; 32]>::from(Sha256::digest(prefixed)));
}

proptest! {
    /// Whatever was stored before and whatever is repeated: each new entry gets the next index, and none twice.
    #[test]
    fn indexes_have_no_gaps(
        requests in prop::collection::vec((0u128..4, prop::collection::vec((0u32..6, any::<bool>()), 0..5)), 0..20),
        stored in prop::collection::vec((0u128..4, 0u32..6), 0..6),
        next in 100u64..200,
    ) {
        let rows = stored.iter().enumerate().map(|(at, (id, seq))| {
            ((run(*id).0, *seq), StoredRow { index: Some(at as u64), same: true })
        });
        let known = Known { rows: rows.collect(), ..Known::default() };
        let works: Vec<Work> = requests.iter().map(|(id, rows)| {
            let rows = rows.iter().map(|(seq, audited)| row(*seq, &seq.to_string(), *audited));
            work(*id, rows.collect(), "running")
        }).collect();
        let plan = Plan::new(works.iter(), next, &known);
        let given: Vec<u64> = plan.leaves.iter().map(|(index, _)| *index).collect();
        prop_assert_eq!(&given, &plan.indexes.clone().collect::<Vec<_>>());
        let keys: HashSet<_> = plan.rows.iter().map(|row| (row.run, row.row.seq)).collect();
        prop_assert_eq!(keys.len(), plan.rows.len());
        prop_assert!(keys.iter().all(|(run, seq)| !known.rows.contains_key(&(run.0, *seq))));
    }
}
