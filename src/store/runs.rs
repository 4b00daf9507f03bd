//! Runs: their headers, and with their journals.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use crate::ids::{NodeId, RunId};
use crate::store::database::{Connection, Readers};
use crate::store::error::from_query;
use crate::store::journal;
use crate::store::schema::runs;
use crate::workflow::record::JournalRow;
use crate::workflow::record::RunHeader;
use crate::workflow::record::RunOutcome;
use crate::workflow::record::RunPage;
use crate::workflow::record::RunSummary;
use crate::workflow::record::StoreError;
use crate::workflow::record::StoredRun;

/// Journals are loaded for so many runs at a time.
const CHUNK: usize = 200;
const LONGEST_PAGE: u32 = 500;

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
    Ok(with_journals(&mut connection, vec![raw]).await?.pop())
}

/// All runs of the node that have not ended, oldest first, with their journals.
pub async fn load_open(readers: &Readers, node: &NodeId) -> Result<Vec<StoredRun>, StoreError> {
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

/// A page of runs of all nodes, newest first.
pub async fn list(
    readers: &Readers,
    status: Option<&str>,
    name: Option<&str>,
    limit: u32,
    before: Option<RunId>,
) -> Result<RunPage, StoreError> {
    let limit = limit.clamp(1, LONGEST_PAGE);
    let mut query = runs::table.select(Raw::as_select()).into_boxed();
    if let Some(status) = status {
        query = query.filter(runs::status.eq(status));
    }
    if let Some(name) = name {
        query = query.filter(runs::name.eq(name));
    }
    if let Some(before) = before {
        query = query.filter(runs::run_id.lt(before.0));
    }
    let mut connection = readers.get().await?;
    let mut found: Vec<Raw> = query
        .order(runs::run_id.desc())
        // One more tells whether there is a next page.
        .limit(i64::from(limit) + 1)
        .load(&mut connection)
        .await
        .map_err(|error| from_query(&error))?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let ids: Vec<RunId> = found.iter().map(|raw| RunId(raw.run_id)).collect();
    let newest: HashMap<_, _> = journal::newest_indexes(&mut connection, &ids).await?.into_iter().collect();
    let summaries = found.into_iter().map(|raw| {
        let StoredRun { node, header, status, outcome, rows: _ } = raw.checked(Vec::new())?;
        let audit_index = newest.get(&header.run).copied().flatten();
        Ok(RunSummary { node, header, status, outcome, audit_index })
    });
    let runs = summaries.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(RunPage { runs, next: ids.last().copied().filter(|_| more) })
}

async fn with_journals(connection: &mut Connection, raws: Vec<Raw>) -> Result<Vec<StoredRun>, StoreError> {
    let ids: Vec<RunId> = raws.iter().map(|raw| RunId(raw.run_id)).collect();
    let mut rows: HashMap<RunId, Vec<(JournalRow, Option<u64>)>> = HashMap::with_capacity(raws.len());
    for (run, row, index) in journal::load(connection, &ids).await? {
        rows.entry(run).or_default().push((row, index));
    }
    raws.into_iter()
        .map(|raw| {
            let rows = rows.remove(&RunId(raw.run_id)).unwrap_or_default();
            raw.checked(rows)
        })
        .collect()
}

impl Raw {
    fn checked(self, rows: Vec<(JournalRow, Option<u64>)>) -> Result<StoredRun, StoreError> {
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
