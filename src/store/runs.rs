//! Runs: their headers, and with their journals.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper, sql_query,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use crate::ids::{NodeId, RunId};
use crate::store::database::{Connection, Readers};
use crate::store::error::from_query;
use crate::store::journal;
use crate::store::schema::runs;
use crate::workflow::record::DamagedRun;
use crate::workflow::record::RunHeader;
use crate::workflow::record::RunOutcome;
use crate::workflow::record::RunSummary;
use crate::workflow::record::StoreError;
use crate::workflow::record::StoredRun;

/// Journals are loaded for so many runs at a time.
const CHUNK: usize = 200;

#[derive(Queryable, Selectable)]
#[diesel(table_name = runs)]
struct Raw {
    run_id: Uuid,
    node: String,
    name: String,
    mode: String,
    priority: String,
    labels: Value,
    accepted: DateTime<Utc>,
    status: String,
    success_rate: Option<f64>,
    coverage: Option<f64>,
    execution_time_ms: Option<i64>,
    finished: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    run_id: Uuid,
}

/// A run with its journal.
pub async fn load(readers: &Readers, run: RunId) -> Result<Option<StoredRun>, StoreError> {
    let mut connection = readers.get().await?;
    let found: Option<Raw> = runs::table
        .select(Raw::as_select())
        .filter(runs::run_id.eq(run.0))
        .first(&mut connection)
        .await
        .optional()
        .map_err(|error| from_query(&error))?;
    let Some(raw) = found else { return Ok(None) };
    let loaded = with_journals(&mut connection, vec![raw]).await?.pop();
    loaded.transpose().map_err(|damaged| damaged.cause)
}

/// A run with its journal, unless that is damaged.
pub type Loaded = Result<StoredRun, DamagedRun>;

/// All runs of the node that have not ended, oldest first, with their journals.
pub async fn load_open(readers: &Readers, node: &NodeId) -> Result<Vec<Loaded>, StoreError> {
    let mut connection = readers.get().await?;
    let mut open: Vec<Raw> = runs::table
        .select(Raw::as_select())
        .filter(runs::node.eq(node.as_str()))
        .filter(runs::finished.is_null())
        .order(runs::run_id)
        .load(&mut connection)
        .await
        .map_err(|error| from_query(&error))?;
    let mut loaded = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let chunk = open.drain(..open.len().min(CHUNK)).collect();
        loaded.extend(with_journals(&mut connection, chunk).await?);
    }
    Ok(loaded)
}

/// Of the newest runs of the node those that ended and that nothing was learned of, with their journals. The id of a
/// run tells its age, so no index is needed.
pub async fn load_unlearned(readers: &Readers, node: &NodeId) -> Result<Vec<Loaded>, StoreError> {
    let mut connection = readers.get().await?;
    let found: Vec<Found> = sql_query(
        "SELECT run_id FROM (SELECT run_id FROM ledger.runs WHERE node = $1 AND finished IS NOT NULL \
            ORDER BY run_id DESC LIMIT $2) AS newest \
         WHERE NOT EXISTS (SELECT FROM system_coordination_log AS s WHERE s.coordination_id = newest.run_id)",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<BigInt, _>(CHUNK as i64)
    .load(&mut connection)
    .await
    .map_err(|error| from_query(&error))?;
    let ended: Vec<Raw> = runs::table
        .select(Raw::as_select())
        .filter(runs::run_id.eq_any(found.into_iter().map(|found| found.run_id)))
        .order(runs::run_id)
        .load(&mut connection)
        .await
        .map_err(|error| from_query(&error))?;
    with_journals(&mut connection, ended).await
}

/// These runs without their journals, newest first.
pub(super) async fn headers(connection: &mut Connection, ids: &[RunId]) -> Result<Vec<RunSummary>, StoreError> {
    let found: Vec<Raw> = runs::table
        .select(Raw::as_select())
        .filter(runs::run_id.eq_any(ids.iter().map(|run| run.0)))
        .order(runs::run_id.desc())
        .load(connection)
        .await
        .map_err(|error| from_query(&error))?;
    let summary = |raw: Raw| {
        let StoredRun { node, header, status, outcome, rows: _ } = raw.checked(Vec::new())?;
        Ok(RunSummary { node, header, status, outcome, audit_index: None })
    };
    found.into_iter().map(summary).collect()
}

async fn with_journals(connection: &mut Connection, raws: Vec<Raw>) -> Result<Vec<Loaded>, StoreError> {
    let ids: Vec<RunId> = raws.iter().map(|raw| RunId(raw.run_id)).collect();
    let mut rows: HashMap<RunId, Result<Vec<journal::Loaded>, StoreError>> = HashMap::with_capacity(raws.len());
    for (run, row) in journal::load(connection, &ids).await? {
        let of_run = rows.entry(run).or_insert_with(|| Ok(Vec::new()));
        match (of_run.as_mut(), row) {
            (Ok(rows), Ok(row)) => rows.push(row),
            // The first damaged row of a run is the one that is told.
            (Ok(_), Err(damaged)) => *of_run = Err(damaged),
            (Err(_), _) => {}
        }
    }
    let put_together = |raw: Raw| {
        let run = RunId(raw.run_id);
        let rows = rows.remove(&run).unwrap_or_else(|| Ok(Vec::new()));
        rows.and_then(|rows| raw.checked(rows)).map_err(|cause| DamagedRun { run, cause })
    };
    Ok(raws.into_iter().map(put_together).collect())
}

impl Raw {
    fn checked(self, rows: Vec<journal::Loaded>) -> Result<StoredRun, StoreError> {
        let run = RunId(self.run_id);
        let damaged =
            |detail: String| StoreError::Damaged { table: "ledger.runs", detail: format!("run {run}: {detail}") };
        let took = self.execution_time_ms.unwrap_or_default();
        let execution_time_ms = u64::try_from(took).map_err(|_| damaged(format!("it took {took} ms")))?;
        let outcome = self.finished.map(|finished| RunOutcome {
            success_rate: self.success_rate,
            coverage: self.coverage,
            execution_time_ms,
            finished,
        });
        let header = RunHeader {
            run,
            name: self.name,
            mode: self.mode,
            priority: self.priority,
            labels: self.labels,
            accepted: self.accepted,
        };
        let node = NodeId::new(&self.node).map_err(|bad| damaged(bad.to_string()))?;
        Ok(StoredRun { node, header, status: self.status, outcome, rows })
    }
}
