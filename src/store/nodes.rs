//! The node's row: which start of its service, and which connection of its writer, may write.
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Text, Timestamptz};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

use crate::ids::NodeId;
use crate::store::database::Connection;
use crate::store::error::from_query;
use crate::workflow::record::StoreError;

/// What a commit must show to be let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Pass {
    #[diesel(sql_type = BigInt)]
    pub epoch: i64,
    /// Counts the connections of the writer: a statement that an earlier one left in the network writes nothing.
    #[diesel(sql_type = BigInt)]
    pub session: i64,
}

/// Begins the next epoch of the node, enrolling the node if it is new. Earlier epochs write nothing from now on.
pub(super) async fn begin_epoch(
    connection: &mut Connection,
    node: &NodeId,
    at: DateTime<Utc>,
) -> Result<Pass, StoreError> {
    sql_query(
        "INSERT INTO ledger.nodes AS n (node, epoch, session, epoch_at) VALUES ($1, 1, 1, $2) \
         ON CONFLICT (node) DO UPDATE SET epoch = n.epoch + 1, session = n.session + 1, epoch_at = $2 \
         RETURNING epoch, session",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<Timestamptz, _>(at)
    .get_result(connection)
    .await
    .map_err(|error| from_query(&error))
}

/// Begins a new session of an epoch. Waits for a commit in flight and shuts out those that come after.
pub(super) async fn begin_session(connection: &mut Connection, node: &NodeId, epoch: i64) -> Result<Pass, StoreError> {
    let begun: Option<Pass> = sql_query(
        "UPDATE ledger.nodes SET session = session + 1 WHERE node = $1 AND epoch = $2 RETURNING epoch, session",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<BigInt, _>(epoch)
    .get_result(connection)
    .await
    .optional()
    .map_err(|error| from_query(&error))?;
    match begun {
        Some(pass) => Ok(pass),
        None => Err(fenced(node, epoch, newest_epoch(connection, node).await?)),
    }
}

pub(super) async fn newest_epoch(connection: &mut Connection, node: &NodeId) -> Result<i64, StoreError> {
    let found: Option<Pass> = sql_query("SELECT epoch, session FROM ledger.nodes WHERE node = $1")
        .bind::<Text, _>(node.as_str())
        .get_result(connection)
        .await
        .optional()
        .map_err(|error| from_query(&error))?;
    Ok(found.map_or(0, |pass| pass.epoch))
}

pub(super) fn fenced(node: &NodeId, ours: i64, newest: i64) -> StoreError {
    StoreError::Fenced { node: node.clone(), ours, newest }
}
