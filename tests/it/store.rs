//! What the store keeps is what it was given, in order, once.
use dsmil::ids::RunId;
use dsmil::store::batch::{Answer, Leaf, Work};
use dsmil::store::database::{Database, Readers};
use dsmil::store::{audit_entries, journal, migrations, partitions, run_list, runs, status};
use dsmil::workflow::record::{JournalRow, StoreError};
use dsmil::workflow::run_filter::RunFilter;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::database::{fresh, sql};
use crate::support::records::{Asking, begin, entry, go_on, header, new_run, node, outcome, ready_writer, row};

async fn store() -> (Asking, Readers, Database) {
    let database = fresh().await;
    let asking = ready_writer(&database).await;
    (asking, database.readers(2).expect("a pool"), database)
}

/// The row as it is loaded: without its entry.
fn loaded(row: &JournalRow) -> JournalRow {
    JournalRow { entry: None, ..row.clone() }
}

#[tokio::test]
async fn a_run_is_loaded_as_it_was_appended() {
    let (asking, readers, _) = store().await;
    let run = new_run();
    let silent = JournalRow { step: None, agent: None, tool: None, status: None, entry: None, ..row(1) };
    let rows = [row(0), silent, row(2)];
    let head = header(run, "baseline");
    let first = Work::run(run, Some(head.clone()), rows[..2].to_vec(), "pending".into(), None);
    assert_eq!(asking.indexes(first).await, [Some(0), None]);
    let open = runs::load(&readers, run).await.expect("read").expect("there");
    assert_eq!((open.status.as_str(), &open.outcome), ("pending", &None));

    let end = outcome();
    let last = Work::run(run, None, rows[2..].to_vec(), "succeeded".into(), Some(end.clone()));
    assert_eq!(asking.indexes(last).await, [Some(1)]);
    let stored = runs::load(&readers, run).await.expect("read").expect("there");
    assert_eq!((stored.node, stored.header), (node(), head));
    assert_eq!((stored.status.as_str(), stored.outcome), ("succeeded", Some(end)));
    let expected = [(loaded(&rows[0]), Some(0)), (loaded(&rows[1]), None), (loaded(&rows[2]), Some(1))];
    assert_eq!(stored.rows, expected);
    assert_eq!(runs::load(&readers, new_run()).await, Ok(None));
}

#[tokio::test]
async fn entries_are_stored_byte_for_byte() {
    let (asking, readers, _) = store().await;
    let entries: Vec<_> = (0..5).map(|n| entry(&format!("op.{n}"))).collect();
    assert_eq!(asking.ask(Work::entries(&entries)).await, Ok(Answer::Entries(0..5)));
    assert_eq!(audit_entries::count(&readers, &node()).await, Ok(5));
    let stored = audit_entries::load(&readers, &node(), 1, 4).await.expect("read");
    assert_eq!(stored.iter().map(|entry| entry.index).collect::<Vec<_>>(), [1, 2, 3]);
    for (entry, original) in stored.iter().zip(&entries[1..]) {
        let leaf = Leaf::of(original);
        assert_eq!((&entry.leaf, entry.leaf_hash), (&original.canonical(), leaf.hash));
    }
}

#[tokio::test]
async fn two_hundred_appends_at_once_keep_their_order_and_leave_no_gap() {
    let (asking, readers, _) = store().await;
    let ids: Vec<RunId> = (0..20).map(|_| new_run()).collect();
    let first = ids.iter().map(|run| asking.indexes(begin(*run, vec![row(0)])));
    let first = join_all(first).await;
    let more = ids.iter().map(|run| async {
        let mut given = Vec::new();
        for seq in 1..10 {
            given.extend(asking.indexes(go_on(*run, vec![row(seq)])).await);
        }
        given
    });
    let more = join_all(more).await;
    let mut given: Vec<u64> = first.iter().chain(&more).flatten().copied().flatten().collect();
    given.sort_unstable();
    assert_eq!(given, (0..200).collect::<Vec<_>>());
    for (at, run) in ids.iter().enumerate() {
        let stored = runs::load(&readers, *run).await.expect("read").expect("there");
        let indexes: Vec<_> = stored.rows.iter().map(|(_, index)| *index).collect();
        assert_eq!(stored.rows.iter().map(|(row, _)| row.seq).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert_eq!(indexes, [&first[at][..], &more[at][..]].concat());
        assert!(indexes.is_sorted());
    }
}

#[tokio::test]
async fn a_repeated_append_stores_nothing_twice() {
    let (asking, readers, _) = store().await;
    let run = new_run();
    let first = begin(run, vec![row(0), row(1)]);
    let indexes = asking.indexes(first.clone()).await;
    asking.indexes(go_on(run, vec![row(2)])).await;
    assert_eq!(asking.indexes(first).await, indexes);
    let stored = runs::load(&readers, run).await.expect("read").expect("there");
    assert_eq!((stored.rows.len(), stored.status.as_str()), (3, "running"), "nor does it set the run back");
    assert_eq!(audit_entries::count(&readers, &node()).await, Ok(3));

    let other = JournalRow { body: json!({"another": "body"}).into(), ..row(1) };
    let refused = asking.ask(go_on(run, vec![other])).await;
    assert!(matches!(refused, Err(StoreError::Refused { detail }) if detail.contains("row 1 of run")));
}

#[tokio::test]
async fn one_bad_request_does_not_fail_its_group() {
    let (asking, readers, _) = store().await;
    let good: Vec<RunId> = (0..8).map(|_| new_run()).collect();
    let bad = new_run();
    let never_begun = go_on(bad, vec![row(0)]);
    let too_big = begin(new_run(), vec![JournalRow { kind: "nul\0".into(), ..row(0) }]);
    let good_ones = join_all(good.iter().map(|run| asking.ask(begin(*run, vec![row(0)]))));
    let (answers, unknown, refused) = tokio::join!(good_ones, asking.ask(never_begun), asking.ask(too_big));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(matches!(unknown, Err(StoreError::Refused { .. })), "{unknown:?}");
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    assert_eq!(runs::load(&readers, bad).await, Ok(None));
    assert_eq!(audit_entries::count(&readers, &node()).await, Ok(8), "the refused took no index");
}

#[tokio::test]
async fn runs_are_listed_newest_first_in_pages() {
    let (asking, readers, _) = store().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let run = new_run();
        let name = if n % 2 == 0 { "even" } else { "odd" };
        let rows = if n == 0 { vec![] } else { vec![row(0), row(1)] };
        asking.indexes(Work::run(run, Some(header(run, name)), rows, "running".into(), None)).await;
        ids.insert(0, run);
    }
    asking.indexes(Work::run(ids[1], None, vec![], "failed".into(), Some(outcome()))).await;
    let list = |status: Option<&'static str>, name: Option<&'static str>, limit, before| {
        let readers = readers.clone();
        async move {
            let (status, name) = (status.map(str::to_owned), name.map(str::to_owned));
            let filter = RunFilter { status, name, limit, before, ..RunFilter::default() };
            let page = run_list::page(&readers, &filter).await.expect("read");
            (page.runs.iter().map(|run| run.header.run).collect::<Vec<_>>(), page.next)
        }
    };
    assert_eq!(list(None, None, 500, None).await, (ids.clone(), None));
    assert_eq!(list(None, None, 3, None).await, (ids[..3].to_vec(), Some(ids[2])));
    assert_eq!(list(None, None, 4, Some(ids[2])).await, (ids[3..].to_vec(), None));
    assert_eq!(list(Some("failed"), None, 9, None).await, (vec![ids[1]], None));
    assert_eq!(list(None, Some("odd"), 9, None).await, (vec![ids[1], ids[3], ids[5]], None));
    let page = run_list::page(&readers, &RunFilter { limit: 500, ..RunFilter::default() }).await.expect("read");
    assert_eq!(page.runs[0].audit_index, Some(11));
    assert_eq!((page.runs[6].audit_index, page.runs[1].status.as_str()), (None, "failed"));

    let open = runs::load_open(&readers, &node()).await.expect("read");
    let expected: Vec<_> = ids.iter().rev().filter(|run| **run != ids[1]).copied().collect();
    let open: Vec<_> = open.into_iter().map(|run| run.expect("not damaged")).collect();
    assert_eq!(open.iter().map(|run| run.header.run).collect::<Vec<_>>(), expected, "oldest first, without the ended");
    assert_eq!(open[1].rows.len(), 2);
}

#[tokio::test]
async fn a_damaged_run_does_not_keep_the_others_away() {
    let (asking, readers, database) = store().await;
    let ids = [new_run(), new_run(), new_run()];
    for run in ids {
        asking.indexes(begin(run, vec![row(0), row(1)])).await;
    }
    sql(&database, &format!("UPDATE state.journal SET agent = 'nobody here' WHERE seq = 1 AND run_id = '{}'", ids[1]));
    let open = runs::load_open(&readers, &node()).await.expect("read");
    let loaded: Vec<_> = open.iter().filter_map(|run| Some(run.as_ref().ok()?.header.run)).collect();
    assert_eq!(loaded, [ids[0], ids[2]]);
    let damaged = open[1].as_ref().expect_err("damaged");
    let said = damaged.cause.to_string();
    assert_eq!(damaged.run, ids[1]);
    assert!(said.contains("row 1 of run") && said.contains("nobody here"), "{said}");
    assert_eq!(runs::load(&readers, ids[1]).await, Err(damaged.cause.clone()));
}

#[tokio::test]
async fn ended_runs_that_taught_nothing_are_found() {
    let (asking, readers, database) = store().await;
    let (open, taught, untaught) = (new_run(), new_run(), new_run());
    asking.indexes(begin(open, vec![row(0)])).await;
    for run in [taught, untaught] {
        let ended = Work::run(run, Some(header(run, "baseline")), vec![row(0)], "succeeded".into(), Some(outcome()));
        asking.indexes(ended).await;
    }
    let words = "INSERT INTO system_coordination_log (coordination_id, node) VALUES";
    sql(&database, &format!("{words} ('{taught}', 'n1')"));
    let found = runs::load_unlearned(&readers, &node()).await.expect("read");
    let found: Vec<_> = found.into_iter().map(|run| run.expect("not damaged")).collect();
    assert_eq!(found.iter().map(|run| (run.header.run, run.rows.len())).collect::<Vec<_>>(), [(untaught, 1)]);
}

#[tokio::test]
async fn the_last_good_attempt_is_of_another_run() {
    let (asking, readers, _) = store().await;
    let (old, new, bad) = (new_run(), new_run(), new_run());
    asking.indexes(begin(old, vec![row(0)])).await;
    asking.indexes(begin(new, vec![JournalRow { status: Some("degraded".into()), ..row(0) }])).await;
    asking.indexes(begin(bad, vec![JournalRow { status: Some("failed".into()), ..row(0) }])).await;
    let (agent, tool) = ("PACER".parse().expect("valid"), "fs.manifest".parse().expect("valid"));
    let node = node();
    let last = |except| journal::last_attempt(&readers, &node, &agent, &tool, except);
    for (except, expected) in [(bad, new), (new, old)] {
        let (run, row) = last(except).await.expect("read").expect("there");
        assert_eq!((run, row.seq), (expected, 0));
    }
    let other = "fs.other".parse().expect("valid");
    assert_eq!(journal::last_attempt(&readers, &node, &agent, &other, bad).await, Ok(None));
}

#[tokio::test]
async fn the_schema_goes_up_down_and_up() {
    let database = fresh().await;
    let up = migrations::run(&database).await.expect("up");
    let shipped = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("read");
    assert_eq!(up.len(), shipped.count(), "{up:?}");
    assert_eq!(migrations::run(&database).await, Ok(vec![]), "nothing is left to do");
    migrations::revert_all(&database).await.expect("down");
    assert_eq!(migrations::run(&database).await.expect("up again"), up);
    let status = status::load(&database.readers(1).expect("a pool")).await.expect("read");
    assert!(status.version.starts_with("PostgreSQL 18") && status.size_bytes > 0, "{status:?}");
    assert_eq!(status.migrations.len(), up.len());
}

#[tokio::test]
async fn a_row_of_a_month_without_partition_is_moved_when_its_partition_is_made() {
    let (asking, readers, database) = store().await;
    // A run accepted long ago falls between the partitions that exist.
    let run = RunId(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_700_000_000, 0)));
    asking.indexes(begin(run, vec![row(0)])).await;
    let then = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("in range");
    partitions::maintain(&database, then, 0).await.expect("made");
    partitions::maintain(&database, then, 0).await.expect("again");
    let stored = runs::load(&readers, run).await.expect("read").expect("there");
    assert_eq!(stored.rows.len(), 1);
    asking.indexes(go_on(run, vec![row(1)])).await;
    for (table, rows) in [("ledger.runs_2023_11", "1"), ("state.journal_2023_11", "2"), ("state.journal_default", "0")]
    {
        assert_eq!(sql(&database, &format!("SELECT count(*) FROM {table}")), rows, "{table}");
    }
}
