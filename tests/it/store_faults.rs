//! What was acknowledged survives; what was not is known.
use std::collections::BTreeMap;
use std::time::Duration;

use dsmil::ids::RunId;
use dsmil::store::database::Database;
use dsmil::store::writer::{Epoch, Writer};
use dsmil::store::{audit_entries, runs};
use dsmil::workflow::record::StoreError;

use crate::support::database::{OwnCluster, fresh, sql};
use crate::support::records::{Asking, begin, go_on, new_run, node, ready_writer, row, writer, writer_of};

/// Appends row after row to a run until told to stop, repeating what was not acknowledged; returns what was.
async fn append_until(asking: Asking, run: RunId, enough: u32) -> BTreeMap<u32, u64> {
    let mut acknowledged = BTreeMap::new();
    let mut seq = 0;
    while seq < enough {
        let work = if seq == 0 { begin(run, vec![row(0)]) } else { go_on(run, vec![row(seq)]) };
        // The same row again and again, as a caller does who does not know.
        loop {
            match asking.ask(work.clone()).await {
                Ok(dsmil::store::batch::Answer::Run(appended)) => {
                    acknowledged.insert(seq, appended.indexes[0].expect("an index"));
                    break;
                }
                Ok(other) => panic!("{other:?}"),
                Err(StoreError::Unreachable { .. } | StoreError::Unknown { .. }) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        seq += 1;
    }
    acknowledged
}

#[tokio::test]
async fn killing_postgres_in_the_middle_loses_nothing_and_doubles_nothing() {
    const ROWS: u32 = 150;
    let mut own = OwnCluster::start().await;
    let database = own.database().await;
    let asking = ready_writer(&database).await;
    let ids: Vec<RunId> = (0..8).map(|_| new_run()).collect();
    let work: Vec<_> = ids.iter().map(|run| tokio::spawn(append_until(asking.clone(), *run, ROWS))).collect();
    for kills in 1..=3 {
        // Each time some more has been written.
        while audit_entries::count(&database.readers(1).expect("a pool"), &node()).await.unwrap_or(0) < kills * 250 {
            tokio::task::yield_now().await;
        }
        own.kill();
        own.cluster.as_mut().expect("it was running").wait().await;
        own.start_again().await;
    }
    let readers = database.readers(1).expect("a pool");
    let mut all = Vec::new();
    for (run, work) in ids.iter().zip(work) {
        let acknowledged = work.await.expect("no panic");
        let stored = runs::load(&readers, *run).await.expect("read").expect("there");
        let stored: BTreeMap<u32, u64> =
            stored.rows.iter().map(|(row, index)| (row.seq, index.expect("an index"))).collect();
        assert_eq!(stored, acknowledged, "run {run}");
        all.extend(stored.into_values());
    }
    all.sort_unstable();
    assert_eq!(all, (0..u64::from(ROWS) * 8).collect::<Vec<_>>(), "each index once, none left out");
    assert_eq!(audit_entries::count(&readers, &node()).await, Ok(u64::from(ROWS) * 8));
}

#[tokio::test]
async fn a_writer_whose_epoch_was_replaced_writes_nothing_more() {
    let database = fresh().await;
    let (old, old_task) = writer(&database);
    let run = new_run();
    while old.ask(begin(run, vec![row(0)])).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let new = ready_writer(&database).await;
    let fenced = old.ask(go_on(run, vec![row(1)])).await;
    assert_eq!(fenced, Err(StoreError::Fenced { node: node(), ours: 1, newest: 2 }));
    assert_eq!(old_task.await.expect("no panic"), Err(StoreError::Fenced { node: node(), ours: 1, newest: 2 }));
    assert_eq!(new.indexes(go_on(run, vec![row(1)])).await, [Some(1)]);
}

#[tokio::test]
async fn a_restarted_writer_goes_on_in_the_epoch_of_its_service() {
    let database = fresh().await;
    let epoch = Epoch::default();
    let run = new_run();
    for (incarnation, work) in [begin(run, vec![row(0)]), go_on(run, vec![row(1)])].into_iter().enumerate() {
        let (asking, task) = writer_of(&database, epoch.clone());
        let index = loop {
            match asking.ask(work.clone()).await {
                Ok(_) => break asking.indexes(work.clone()).await,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!(index, [Some(incarnation as u64)]);
        drop(asking);
        assert_eq!(task.await.expect("no panic"), Ok(()), "it ends when nobody can ask any more");
    }
    assert_eq!(epoch.get(), Some(&1));
    assert_eq!(sql(&database, "SELECT epoch, session FROM ledger.nodes"), "1|2");
}

#[tokio::test]
async fn a_connection_cut_while_idle_is_not_noticed_by_callers() {
    let database = fresh().await;
    let asking = ready_writer(&database).await;
    let run = new_run();
    assert_eq!(asking.indexes(begin(run, vec![row(0)])).await, [Some(0)]);
    for seq in 1..4 {
        let cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert_eq!(sql(&database, cut), "t");
        assert_eq!(asking.indexes(go_on(run, vec![row(seq)])).await, [Some(u64::from(seq))]);
    }
}

#[tokio::test]
async fn a_commit_whose_connection_is_cut_meanwhile_is_settled() {
    let database = fresh().await;
    let asking = ready_writer(&database).await;
    let run = new_run();
    asking.indexes(begin(run, vec![row(0)])).await;
    // A lock that the commit has to wait for, and a knife for its connection while it waits.
    let cut = "BEGIN; LOCK TABLE state.journal IN EXCLUSIVE MODE; \
               SELECT pg_sleep(0.3); \
               SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND wait_event_type = 'Lock'; COMMIT";
    let knife = tokio::task::spawn_blocking({
        let database = database.clone();
        move || sql(&database, cut)
    });
    while sql(&database, "SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND locktype = 'relation'") == "0"
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(asking.indexes(go_on(run, vec![row(1)])).await, [Some(1)]);
    assert!(knife.await.expect("no panic").contains('t'), "the connection was cut");
    assert_eq!(sql(&database, "SELECT count(*) FROM state.journal"), "2");
}

#[tokio::test]
async fn a_writer_that_is_hurried_does_not_wait_for_a_database_that_is_gone() {
    let mut own = OwnCluster::start().await;
    let (mut writer, hurry) = Writer::new(own.database().await, node(), Epoch::default(), Box::new(|_| ()));
    writer.connect().await.expect("connected");
    own.cluster.take().expect("it was running").stop().await.expect("stopped");
    hurry.now();
    let work = begin(new_run(), vec![row(0)]);
    let begun = dsmil::clock::now();
    let answers = writer.commit(&[&work]).await;
    assert!(matches!(answers[..], [Err(StoreError::Unknown { .. })]), "{answers:?}");
    assert!(dsmil::clock::now().duration_since(begun) < Duration::from_secs(4), "it waits 5 s otherwise");
}

#[tokio::test]
async fn without_a_database_requests_are_refused_at_once() {
    let place = tempfile::tempdir().expect("a directory");
    let nowhere = Database::on_socket(place.path(), 5433, "dsmil");
    let (asking, _task) = writer(&nowhere);
    let refused = asking.ask(begin(new_run(), vec![row(0)])).await;
    assert!(matches!(refused, Err(StoreError::Unreachable { .. })), "{refused:?}");
    let read = runs::load(&nowhere.readers(1).expect("a pool"), new_run()).await;
    assert!(matches!(read, Err(StoreError::Unreachable { .. })), "{read:?}");
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let database = fresh().await;
    ready_writer(&database).await;
    sql(&database, "INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101000000')");
    let (_asking, task) = writer(&database);
    let refused = task.await.expect("no panic");
    assert!(matches!(&refused, Err(StoreError::Refused { detail }) if detail.contains("newer dsmil")), "{refused:?}");
}
