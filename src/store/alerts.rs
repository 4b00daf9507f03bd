//! Alerts that fired.
use diesel::sql_types::{Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use tracing::error;

use crate::alerts::book::Alert;
use crate::ids::NodeId;
use crate::store::batch::json_text;
use crate::store::database::Readers;
use crate::store::error::from_query;
use crate::workflow::record::StoreError;

#[derive(QueryableByName)]
struct Raw {
    #[diesel(sql_type = Jsonb)]
    body: Value,
}

/// Stores how an alert stands; one that never fired is not kept.
pub async fn put(database: &Readers, node: &NodeId, alert: &Alert) -> Result<(), StoreError> {
    let Some(fired) = alert.fired else { return Ok(()) };
    let body = serde_json::to_value(alert).map_err(|cause| damaged(&cause))?;
    sql_query(
        "INSERT INTO ledger.alerts (node, fingerprint, fired, rule, severity, state, resolved, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb) \
         ON CONFLICT (node, fingerprint, fired) DO UPDATE SET state = $6, resolved = $7, body = $8::jsonb",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<Text, _>(&alert.fingerprint)
    .bind::<Timestamptz, _>(fired)
    .bind::<Text, _>(&alert.rule)
    .bind::<Text, _>(alert.severity.as_str())
    .bind::<Text, _>(alert.state.as_str())
    .bind::<Nullable<Timestamptz>, _>(alert.resolved)
    .bind::<Text, _>(json_text(&body))
    .execute(&mut database.get().await?)
    .await
    .map(drop)
    .map_err(|error| from_query(&error))
}

/// Those that fire still.
pub async fn firing(database: &Readers, node: &NodeId) -> Result<Vec<Alert>, StoreError> {
    let rows: Vec<Raw> =
        sql_query("SELECT body FROM ledger.alerts WHERE node = $1 AND state = 'firing' ORDER BY fired")
            .bind::<Text, _>(node.as_str())
            .load(&mut database.get().await?)
            .await
            .map_err(|error| from_query(&error))?;
    // One that cannot be read must not hide the others.
    let mut firing = Vec::with_capacity(rows.len());
    for row in rows {
        match serde_json::from_value(row.body) {
            Ok(alert) => firing.push(alert),
            Err(cause) => error!("an alert in ledger.alerts cannot be read and is left out: {cause}"),
        }
    }
    Ok(firing)
}

/// The newest, resolved ones too.
pub async fn newest(database: &Readers, node: &NodeId, limit: u32) -> Result<Vec<Alert>, StoreError> {
    let rows: Vec<Raw> = sql_query("SELECT body FROM ledger.alerts WHERE node = $1 ORDER BY fired DESC LIMIT $2")
        .bind::<Text, _>(node.as_str())
        .bind::<Integer, _>(i32::try_from(limit).unwrap_or(i32::MAX))
        .load(&mut database.get().await?)
        .await
        .map_err(|error| from_query(&error))?;
    read(rows)
}

fn read(rows: Vec<Raw>) -> Result<Vec<Alert>, StoreError> {
    rows.into_iter().map(|row| serde_json::from_value(row.body).map_err(|cause| damaged(&cause))).collect()
}

fn damaged(cause: &serde_json::Error) -> StoreError {
    StoreError::Damaged { table: "ledger.alerts", detail: cause.to_string() }
}
