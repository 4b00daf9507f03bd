//! Tokens: who may ask, as hashes.
use chrono::{DateTime, Utc};
use diesel::sql_types::{Bytea, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

use crate::access::token::{Known, TokenId};
use crate::ids::{Digest, NodeId};
use crate::store::database::Readers;
use crate::store::error::from_query;
use crate::workflow::record::StoreError;

#[derive(QueryableByName)]
struct Raw {
    #[diesel(sql_type = Text)]
    token_id: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Bytea)]
    hash: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    created: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    created_by: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    expires: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    revoked: Option<DateTime<Utc>>,
}

impl TryFrom<Raw> for Known {
    type Error = StoreError;
    fn try_from(raw: Raw) -> Result<Self, StoreError> {
        let damaged = |detail: String| StoreError::Damaged { table: "ledger.tokens", detail };
        let hash = <[u8; 32]>::try_from(raw.hash).map_err(|hash| damaged(format!("a hash of {} bytes", hash.len())))?;
        Ok(Known {
            id: TokenId::try_from(raw.token_id).map_err(|error| damaged(error.to_string()))?,
            name: raw.name,
            role: raw.role.parse().map_err(|error| damaged(format!("{error}")))?,
            hash: Digest(hash),
            created: raw.created,
            created_by: raw.created_by,
            expires: raw.expires,
            revoked: raw.revoked,
        })
    }
}

/// All tokens of the node, the revoked ones too, oldest first.
pub async fn load(readers: &Readers, node: &NodeId) -> Result<Vec<Known>, StoreError> {
    let rows: Vec<Raw> = sql_query(
        "SELECT token_id, name, role, hash, created, created_by, expires, revoked \
         FROM ledger.tokens WHERE node = $1 ORDER BY created, token_id",
    )
    .bind::<Text, _>(node.as_str())
    .load(&mut readers.get().await?)
    .await
    .map_err(|error| from_query(&error))?;
    rows.into_iter().map(Known::try_from).collect()
}

pub async fn insert(readers: &Readers, node: &NodeId, token: &Known) -> Result<(), StoreError> {
    sql_query(
        "INSERT INTO ledger.tokens (token_id, node, name, role, hash, created, created_by, expires) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<Text, _>(token.id.as_str())
    .bind::<Text, _>(node.as_str())
    .bind::<Text, _>(&token.name)
    .bind::<Text, _>(token.role.as_str())
    .bind::<Bytea, _>(&token.hash.0[..])
    .bind::<Timestamptz, _>(token.created)
    .bind::<Text, _>(&token.created_by)
    .bind::<Nullable<Timestamptz>, _>(token.expires)
    .execute(&mut readers.get().await?)
    .await
    .map(drop)
    .map_err(|error| from_query(&error))
}

/// A token that was revoked before keeps its first time.
pub async fn revoke(
    readers: &Readers,
    node: &NodeId,
    id: &TokenId,
    at: DateTime<Utc>,
    by: &str,
) -> Result<(), StoreError> {
    sql_query(
        "UPDATE ledger.tokens SET revoked = $3, revoked_by = $4 WHERE node = $1 AND token_id = $2 AND revoked IS NULL",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<Text, _>(id.as_str())
    .bind::<Timestamptz, _>(at)
    .bind::<Text, _>(by)
    .execute(&mut readers.get().await?)
    .await
    .map(drop)
    .map_err(|error| from_query(&error))
}
