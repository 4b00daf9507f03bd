//! Runs that were kept for as long as the configuration says are deleted, with all that belongs to them.
use dsmil::store::database::Database;
use serde_json::json;

use crate::support::database::sql;
use crate::support::service::{Home, Service};
use crate::support::until;

/// A run that was accepted so many days ago.
fn insert(database: &Database, name: &str, days: u32, status: &str) {
    let finished = if status == "running" { "NULL" } else { "now()" };
    let statement = format!(
        "WITH at AS (SELECT now() - interval '{days} days' AS at), \
         id AS (SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || \
                        substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid AS id \
                FROM at), \
         tag AS (INSERT INTO ledger.run_tags SELECT md5('t')::uuid, id FROM id), \
         row AS (INSERT INTO state.journal (run_id, seq, node, epoch, at, kind, body) \
                 SELECT id, 0, 'keeper', 1, at, 'accepted', '{{}}' FROM id, at) \
         INSERT INTO ledger.runs (run_id, node, epoch, name, mode, priority, labels, accepted, status, finished) \
         SELECT id, 'keeper', 1, '{name}', 'dag', 'normal', '{{}}', at, '{status}', {finished} FROM id, at"
    );
    sql(database, &statement);
}

#[test]
fn runs_are_deleted_when_they_were_kept_long_enough() {
    let home = Home::new();
    let environment = [("DSMIL_NODE_ID", "keeper"), ("DSMIL_ENGINE_KEEP_RUNS", "20d,short=2d,long=300d")];
    let service = Service::start_under(&home, &[], &environment);
    let database = Database::on_socket(&home.data().join("postgres/socket"), 5433, "dsmil");
    let fresh = service.submit(&json!({ "name": "short", "steps": [
        { "id": "a", "agent": "TESTBED", "tool": "cp.echo" },
    ] }));
    service.finished(&fresh);
    for (name, days, status) in [
        ("short", 1, "succeeded"),
        ("short", 3, "succeeded"),
        ("short", 3, "needs_human"),
        ("long", 200, "failed"),
        ("long", 301, "failed"),
        ("any", 19, "succeeded"),
        ("any", 21, "cancelled"),
    ] {
        insert(&database, name, days, status);
    }
    // more than go at once
    for _ in 0..250 {
        insert(&database, "other", 30, "succeeded");
    }
    let leaves = || sql(&database, "SELECT count(*) FROM ledger.audit_entries WHERE leaf IS NOT NULL");
    let before = leaves();
    assert_eq!(service.stop(), 0);

    let service = Service::start_under(&home, &[], &environment);
    let left = "SELECT string_agg(name || ' ' || status, ', ' ORDER BY name, status, run_id) FROM ledger.runs";
    let kept = "any succeeded, long failed, short needs_human, short succeeded, short succeeded";
    until("only what is to be kept", || (sql(&database, left) == kept).then_some(()));
    let orphans = "SELECT (SELECT count(*) FROM state.journal j WHERE NOT EXISTS \
                   (SELECT FROM ledger.runs r WHERE r.run_id = j.run_id)) + (SELECT count(*) FROM ledger.run_tags t \
                   WHERE NOT EXISTS (SELECT FROM ledger.runs r WHERE r.run_id = t.run_id))";
    assert_eq!(sql(&database, orphans), "0", "nothing is left of the others");
    assert!(leaves().parse::<u64>().ok() >= before.parse().ok(), "the audit log forgets nothing");
    assert_eq!(service.get(&format!("/api/v1/workflows/{fresh}")).json()["status"], "succeeded");
}

#[test]
fn a_rule_that_cannot_be_meant_ends_the_start() {
    let home = Home::new();
    let refused = home.command(&["serve"]).env("DSMIL_ENGINE_KEEP_RUNS", "7d,1h").output().expect("run");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("engine.keep_runs") && said.contains("1d to 3650d"), "{said}");
}
