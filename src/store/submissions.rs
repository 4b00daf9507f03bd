//! Idempotency keys and the runs they have started. They are written by the commit that accepts the run (`append`).
use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{Array, BigInt, Bytea, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::clock;
use crate::ids::{Digest, NodeId, RunId};
use crate::store::database::{Connection, Readers};
use crate::store::error::{from_query, text};
use crate::workflow::record::{KnownSubmission, StoreError};
use crate::workflow::submission::IdempotencyKey;

/// How long keys are kept unless the configuration says otherwise.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// So many that are out of date are deleted by one statement, so that no commit waits for it.
const SWEEP: i64 = 5_000;

/// Keys that are older than this are free again; those of schedules only when the firing is settled (`schedules`), for
/// it may be repeated after any time.
fn cutoff(kept: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(kept)
        .ok()
        .and_then(|kept| clock::wall().checked_sub_signed(kept))
        .unwrap_or(DateTime::UNIX_EPOCH)
}

#[derive(QueryableByName)]
struct Raw {
    #[diesel(sql_type = Text)]
    principal: String,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = SqlUuid)]
    run_id: Uuid,
    #[diesel(sql_type = Bytea)]
    body_hash: Vec<u8>,
}

impl Raw {
    fn known(&self) -> KnownSubmission {
        // The table's check holds it to 32 bytes; anything else would be the hash of no body.
        let body = <[u8; 32]>::try_from(self.body_hash.as_slice()).unwrap_or_default();
        KnownSubmission { run: RunId(self.run_id), body: Digest(body) }
    }
}

/// The run that the key has started, unless its time is up.
pub async fn find(
    readers: &Readers,
    node: &NodeId,
    principal: &str,
    key: &IdempotencyKey,
    kept: Duration,
) -> Result<Option<KnownSubmission>, StoreError> {
    let mut connection = readers.get().await?;
    let found: Option<Raw> = sql_query(
        "SELECT principal, key, run_id, body_hash FROM ledger.submissions \
         WHERE node = $1 AND principal = $2 AND key = $3 AND at > $4",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<Text, _>(principal)
    .bind::<Text, _>(key.as_str())
    .bind::<Timestamptz, _>(cutoff(kept))
    .get_result(&mut connection)
    .await
    .optional()
    .map_err(|error| from_query(&error))?;
    Ok(found.map(|raw| raw.known()))
}

/// A principal and its key.
pub(super) type Owned = (String, String);

/// Which of these keys have started a run; frees those whose time is up.
pub(super) async fn look_up(
    connection: &mut Connection,
    node: &NodeId,
    keys: &[(&str, &str)],
    kept: Duration,
) -> QueryResult<HashMap<Owned, KnownSubmission>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (principals, keys): (Vec<&str>, Vec<&str>) = keys.iter().copied().unzip();
    let found: Vec<Raw> = sql_query(
        "WITH freed AS (DELETE FROM ledger.submissions s USING unnest($2, $3) AS u (principal, key) \
            WHERE s.node = $1 AND s.principal = u.principal AND s.key = u.key AND s.at <= $4 \
            AND s.principal NOT LIKE 'schedule:%') \
         SELECT s.principal, s.key, s.run_id, s.body_hash FROM ledger.submissions s \
         JOIN unnest($2, $3) AS u (principal, key) USING (principal, key) WHERE s.node = $1 \
            AND (s.at > $4 OR s.principal LIKE 'schedule:%')",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<Array<Text>, _>(principals)
    .bind::<Array<Text>, _>(keys)
    .bind::<Timestamptz, _>(cutoff(kept))
    .load(connection)
    .await?;
    Ok(found.into_iter().map(|raw| (raw.known(), raw)).map(|(known, raw)| ((raw.principal, raw.key), known)).collect())
}

/// Deletes keys whose time is up; true: there may be more of them.
pub(super) async fn sweep(connection: &mut Connection, node: &NodeId, kept: Duration) -> bool {
    let deleted = sql_query(
        "DELETE FROM ledger.submissions WHERE ctid = ANY (ARRAY( \
            SELECT ctid FROM ledger.submissions WHERE node = $1 AND at <= $2 AND principal NOT LIKE 'schedule:%' \
            ORDER BY at LIMIT $3))",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<Timestamptz, _>(cutoff(kept))
    .bind::<BigInt, _>(SWEEP)
    .execute(connection)
    .await;
    match deleted {
        Ok(deleted) => i64::try_from(deleted).is_ok_and(|deleted| deleted >= SWEEP),
        Err(error) => {
            // They are not found any more all the same.
            tracing::warn!(error = text(&error), "idempotency keys whose time is up could not be deleted");
            false
        }
    }
}
