//! The events of runs.
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use crate::ids::{AgentId, BadName, NodeId, RunId, ToolId};
use crate::store::database::{Connection, Readers};
use crate::store::error::from_query;
use crate::store::schema::journal;
use crate::workflow::record::JournalRow;
use crate::workflow::record::StoreError;

#[derive(Queryable, Selectable)]
#[diesel(table_name = journal)]
struct Raw {
    run_id: Uuid,
    seq: i32,
    at: DateTime<Utc>,
    kind: String,
    step: Option<String>,
    agent: Option<String>,
    tool: Option<String>,
    status: Option<String>,
    body: Value,
    audit_index: Option<i64>,
}

/// A row as loaded: itself, and the audit index of its entry.
pub(super) type Loaded = (JournalRow, Option<u64>);

/// All rows of these runs, by run and sequence number; damage is that of the row.
pub(super) async fn load(
    connection: &mut Connection,
    runs: &[RunId],
) -> Result<Vec<(RunId, Result<Loaded, StoreError>)>, StoreError> {
    let rows: Vec<Raw> = journal::table
        .select(Raw::as_select())
        .filter(journal::run_id.eq_any(runs.iter().map(|run| run.0)))
        .order((journal::run_id, journal::seq))
        .load(connection)
        .await
        .map_err(|error| from_query(&error))?;
    Ok(rows.into_iter().map(|raw| (RunId(raw.run_id), raw.checked())).collect())
}

/// The newest audit index of each of these runs that has one.
pub(super) async fn newest_indexes(
    connection: &mut Connection,
    runs: &[RunId],
) -> Result<Vec<(RunId, Option<u64>)>, StoreError> {
    let rows: Vec<(Uuid, Option<i64>)> = journal::table
        .group_by(journal::run_id)
        .select((journal::run_id, diesel::dsl::max(journal::audit_index)))
        .filter(journal::run_id.eq_any(runs.iter().map(|run| run.0)))
        .load(connection)
        .await
        .map_err(|error| from_query(&error))?;
    Ok(rows.into_iter().map(|(run, index)| (RunId(run), index.and_then(|index| index.try_into().ok()))).collect())
}

/// The newest good attempt of the agent with the tool on this node, in another run than `except`.
pub async fn last_attempt(
    readers: &Readers,
    node: &NodeId,
    agent: &AgentId,
    tool: &ToolId,
    except: RunId,
) -> Result<Option<(RunId, JournalRow)>, StoreError> {
    let mut connection = readers.get().await?;
    let found: Option<Raw> = journal::table
        .select(Raw::as_select())
        .filter(journal::node.eq(node.as_str()))
        .filter(journal::agent.eq(agent.as_str()))
        .filter(journal::tool.eq(tool.as_str()))
        // In these words the planner knows the partial index.
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("status IN ('ok', 'degraded')"))
        .filter(journal::run_id.ne(except.0))
        .order(journal::at.desc())
        .first(&mut connection)
        .await
        .optional()
        .map_err(|error| from_query(&error))?;
    found.map(|raw| Ok((RunId(raw.run_id), raw.checked()?.0))).transpose()
}

impl Raw {
    fn checked(self) -> Result<Loaded, StoreError> {
        let Raw { run_id, seq, at, kind, step, agent, tool, status, body, audit_index } = self;
        let fault = |detail: String| damaged(run_id, seq, &detail);
        let row = JournalRow {
            seq: u32::try_from(seq).map_err(|_| fault("its number is negative".into()))?,
            at,
            kind,
            step: name(step).map_err(|bad| fault(bad.to_string()))?,
            agent: name(agent).map_err(|bad| fault(bad.to_string()))?,
            tool: name(tool).map_err(|bad| fault(bad.to_string()))?,
            status,
            body: body.into(),
            entry: None,
        };
        let index = audit_index.map(u64::try_from).transpose();
        Ok((row, index.map_err(|_| fault("its audit index is negative".into()))?))
    }
}

fn name<T: std::str::FromStr<Err = BadName>>(text: Option<String>) -> Result<Option<T>, BadName> {
    text.as_deref().map(str::parse).transpose()
}

fn damaged(run: Uuid, seq: i32, detail: &str) -> StoreError {
    StoreError::Damaged { table: "state.journal", detail: format!("row {seq} of run {run}: {detail}") }
}
