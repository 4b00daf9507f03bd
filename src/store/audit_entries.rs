//! The outbox of the audit log.
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;

use crate::ids::{Digest, NodeId};
use crate::store::database::{Connection, Readers};
use crate::store::error::from_query;
use crate::store::schema::audit_entries;
use crate::workflow::record::StoreError;
use crate::workflow::record::StoredEntry;

/// The most entries of one answer.
pub const MOST: u64 = 10_000;

/// Entries of the node with `from <= index < to`, at most [`MOST`].
pub async fn load(readers: &Readers, node: &NodeId, from: u64, to: u64) -> Result<Vec<StoredEntry>, StoreError> {
    let to = to.min(from.saturating_add(MOST));
    let bound = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
    let mut connection = readers.get().await?;
    let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = audit_entries::table
        .select((audit_entries::idx, audit_entries::leaf, audit_entries::leaf_hash))
        .filter(audit_entries::node.eq(node.as_str()))
        .filter(audit_entries::idx.ge(bound(from)))
        .filter(audit_entries::idx.lt(bound(to)))
        .order(audit_entries::idx)
        .load(&mut connection)
        .await
        .map_err(|error| from_query(&error))?;
    rows.into_iter().map(stored).collect()
}

/// Number of entries of the node.
pub async fn count(readers: &Readers, node: &NodeId) -> Result<u64, StoreError> {
    next_index(&mut *readers.get().await?, node).await
}

/// The index of the next entry: there are no gaps, so it is the number of entries too.
pub(super) async fn next_index(connection: &mut Connection, node: &NodeId) -> Result<u64, StoreError> {
    let last: Option<i64> = audit_entries::table
        .select(diesel::dsl::max(audit_entries::idx))
        .filter(audit_entries::node.eq(node.as_str()))
        .get_result(connection)
        .await
        .map_err(|error| from_query(&error))?;
    last.map_or(Ok(0), |last| index(last).map(|last| last + 1))
}

fn stored((idx, leaf, hash): (i64, Vec<u8>, Vec<u8>)) -> Result<StoredEntry, StoreError> {
    let index = index(idx)?;
    let hash =
        <[u8; 32]>::try_from(hash).map_err(|hash| damaged(format!("entry {index}: a hash of {} bytes", hash.len())))?;
    Ok(StoredEntry { index, leaf, leaf_hash: Digest(hash) })
}

fn index(idx: i64) -> Result<u64, StoreError> {
    u64::try_from(idx).map_err(|_| damaged(format!("index {idx} is negative")))
}

fn damaged(detail: String) -> StoreError {
    StoreError::Damaged { table: "ledger.audit_entries", detail }
}
