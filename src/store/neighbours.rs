//! What is near a task among what was learned, and how an agent or a tool has been doing.
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::ids::{AgentId, ToolId};
use crate::learning::embed::Vector;
use crate::learning::rank::Neighbour;
use crate::store::database::Readers;
use crate::store::error::from_query;
use crate::store::metrics::written;
use crate::toolkit::learned::{Metric, Sample};
use crate::workflow::record::StoreError;

/// How many past rows a task is compared with.
pub const NEAREST: i64 = 128;
/// How many runs a baseline is made of.
const BASELINE: i64 = 500;

// The search list must be longer than what is asked for, or fewer rows come back without a word; the scan goes on when
// rows of old months are sorted out.
const SEARCH: &str =
    "SET LOCAL hnsw.ef_search = 200; SET LOCAL hnsw.iterative_scan = strict_order; SET LOCAL jit = off";

const NEAR: &str = "\
    SELECT m.agent_id, m.task_type, m.similarity, m.execution_time_ms, \
        extract(epoch FROM $3 - m.timestamp)::float8 / 86400 AS age_days, h.successes, h.failures \
    FROM (SELECT agent_id, task_type, run_id, step, attempt, timestamp, execution_time_ms, \
            1 - ((vector_embedding::halfvec(256)) <=> $1::text::halfvec(256)) AS similarity \
        FROM agent_performance_metrics WHERE timestamp >= $2 AND vector_embedding IS NOT NULL \
        ORDER BY (vector_embedding::halfvec(256)) <=> $1::text::halfvec(256) LIMIT $4) m \
    JOIN agent_task_hours h USING (run_id, step, attempt) \
    ORDER BY m.similarity DESC, m.timestamp DESC";

#[derive(QueryableByName)]
struct Near {
    #[diesel(sql_type = Text)]
    agent_id: String,
    #[diesel(sql_type = Text)]
    task_type: String,
    #[diesel(sql_type = Double)]
    similarity: f64,
    #[diesel(sql_type = Integer)]
    execution_time_ms: i32,
    #[diesel(sql_type = Double)]
    age_days: f64,
    #[diesel(sql_type = Integer)]
    successes: i32,
    #[diesel(sql_type = Integer)]
    failures: i32,
}

/// The nearest past tasks that were begun after `since`, on all nodes, with how they went.
pub async fn nearest(
    pool: &Readers,
    task: &Vector,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Neighbour>, StoreError> {
    let mut connection = pool.get().await?;
    let task = written(task);
    let rows: Result<Vec<Near>, diesel::result::Error> = connection
        .transaction(async |connection| {
            connection.batch_execute(SEARCH).await?;
            sql_query(NEAR)
                .bind::<Text, _>(&task)
                .bind::<Timestamptz, _>(since)
                .bind::<Timestamptz, _>(now)
                .bind::<BigInt, _>(NEAREST)
                .get_results(connection)
                .await
        })
        .await;
    rows.map_err(|error| from_query(&error))?.into_iter().map(Near::checked).collect()
}

impl Near {
    fn checked(self) -> Result<Neighbour, StoreError> {
        let damaged = |detail: String| StoreError::Damaged { table: "agent_performance_metrics", detail };
        Ok(Neighbour {
            agent: AgentId::new(&self.agent_id).map_err(|bad| damaged(bad.to_string()))?,
            tool: ToolId::new(&self.task_type).map_err(|bad| damaged(bad.to_string()))?,
            similarity: self.similarity,
            age_days: self.age_days,
            successes: u32::try_from(self.successes).unwrap_or(0),
            failures: u32::try_from(self.failures).unwrap_or(0),
            execution_time_ms: u32::try_from(self.execution_time_ms).unwrap_or(0),
        })
    }
}

#[derive(QueryableByName)]
struct Past {
    #[diesel(sql_type = Nullable<Double>)]
    value: Option<f64>,
    #[diesel(sql_type = Text)]
    outcome: String,
}

/// The newest runs of an agent, of a tool, or of both, with one of their figures. Runs without that figure are left out.
pub async fn samples(
    pool: &Readers,
    agent: Option<&AgentId>,
    tool: Option<&ToolId>,
    metric: Metric,
) -> Result<Vec<Sample>, StoreError> {
    let figure = match metric {
        Metric::ExecutionTime => "execution_time_ms::float8",
        Metric::CpuTime => "(resource_usage->>'cpu_ms')::float8",
    };
    let query = format!(
        "SELECT {figure} AS value, outcome FROM agent_performance_metrics \
         WHERE ($1 IS NULL OR agent_id = $1) AND ($2 IS NULL OR task_type = $2) ORDER BY timestamp DESC LIMIT $3"
    );
    let mut connection = pool.get().await?;
    let rows: Vec<Past> = sql_query(query)
        .bind::<Nullable<Text>, _>(agent.map(|agent| agent.as_str()))
        .bind::<Nullable<Text>, _>(tool.map(|tool| tool.as_str()))
        .bind::<BigInt, _>(BASELINE)
        .get_results(&mut connection)
        .await
        .map_err(|error| from_query(&error))?;
    Ok(rows.into_iter().filter_map(|row| Some(Sample { value: row.value?, success: success(&row.outcome) })).collect())
}

fn success(outcome: &str) -> Option<bool> {
    match outcome {
        "ok" | "degraded" => Some(true),
        "failed" | "timed_out" => Some(false),
        _ => None,
    }
}
