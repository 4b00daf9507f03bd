//! Deletes idempotency keys, and runs that have been kept for as long as they should, with their journals. What the audit log says of them
//! stays, and so does what was learned.
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::clock;
use crate::ids::NodeId;
use crate::store::database::Connection;
use crate::store::error::text;
use crate::store::partitions::first_uuid;
use crate::store::submissions;
use crate::workflow::retention::{Kept, Retention};

/// Runs that are deleted by one statement: commits wait meanwhile.
const SWEEP: i64 = 200;

/// The rows of a run go together. One that needs a person stays, however old.
const DELETE: &str = "\
    WITH old AS ( \
        SELECT run_id FROM ledger.runs \
        WHERE node = $1 AND run_id < $2 AND (name = ANY ($3)) = $4 AND finished IS NOT NULL \
          AND status <> 'needs_human' \
        ORDER BY run_id LIMIT $5 FOR UPDATE), \
    journal AS (DELETE FROM state.journal j USING old WHERE j.run_id = old.run_id), \
    tags AS (DELETE FROM ledger.run_tags t USING old WHERE t.run_id = old.run_id) \
    DELETE FROM ledger.runs r USING old WHERE r.run_id = old.run_id";

/// Deletes what was kept for long enough; true: there may be more of it.
pub(super) async fn sweep(connection: &mut Connection, node: &NodeId, kept: &Kept) -> bool {
    let keys = submissions::sweep(connection, node, kept.keys).await;
    runs(connection, node, &kept.runs).await || keys
}

async fn runs(connection: &mut Connection, node: &NodeId, retention: &Retention) -> bool {
    let mut more = false;
    for (name, kept) in &retention.by_name {
        more |= delete(connection, node, std::slice::from_ref(name), true, *kept).await;
    }
    if let Some(kept) = retention.others {
        let named: Vec<String> = retention.by_name.keys().cloned().collect();
        more |= delete(connection, node, &named, false, kept).await;
    }
    more
}

/// Runs with one of the names, or with none of them, that were accepted longer ago.
async fn delete(connection: &mut Connection, node: &NodeId, names: &[String], with: bool, kept: Duration) -> bool {
    let deleted = sql_query(DELETE)
        .bind::<Text, _>(node.as_str())
        .bind::<SqlUuid, _>(accepted_before(clock::wall(), kept))
        .bind::<Array<Text>, _>(names)
        .bind::<Bool, _>(with)
        .bind::<BigInt, _>(SWEEP)
        .execute(connection)
        .await;
    match deleted {
        Ok(0) => false,
        Ok(deleted) => {
            tracing::info!(runs = deleted, "deleted {deleted} runs that were kept for {kept:?}");
            i64::try_from(deleted).is_ok_and(|deleted| deleted >= SWEEP)
        }
        Err(error) => {
            tracing::warn!(error = text(&error), "runs that were kept long enough could not be deleted");
            false
        }
    }
}

fn accepted_before(now: DateTime<Utc>, kept: Duration) -> Uuid {
    chrono::TimeDelta::from_std(kept).map_or(Uuid::nil(), |kept| first_uuid((now - kept).timestamp_millis()))
}
