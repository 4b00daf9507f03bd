//! Is the database there, which one is it, and how far is its schema?
use diesel::sql_types::{Array, BigInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

use crate::store::database::Readers;
use crate::store::error::{from_query, unreachable};
use crate::workflow::record::StoreError;
use crate::workflow::record::StoreStatus;

#[derive(QueryableByName)]
struct Raw {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Array<Text>)]
    migrations: Vec<String>,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

pub async fn load(readers: &Readers) -> Result<StoreStatus, StoreError> {
    let mut connection = readers.get().await?;
    let raw: Raw = sql_query(
        "SELECT version() AS version, pg_database_size(current_database()) AS size, \
         ARRAY(SELECT version::text FROM __diesel_schema_migrations ORDER BY version) AS migrations",
    )
    .get_result(&mut connection)
    .await
    .map_err(|error| from_query(&error))?;
    let size_bytes = u64::try_from(raw.size).map_err(unreachable)?;
    Ok(StoreStatus { version: raw.version, migrations: raw.migrations, size_bytes })
}
