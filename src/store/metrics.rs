//! What was learned: lessons are added in batches, each exactly once, however often it is handed over.
//!
//! One statement stores a batch. It leaves out what is there already, gives the vector to the first row in the same
//! words within an hour, counts all of them, and looks up the audit entry that proves the row. Batches of a node take
//! turns by a lock, so that two of them cannot both be first.
use diesel::sql_types::{Array, BigInt, Bytea, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use crate::ids::NodeId;
use crate::learning::batch::{Batch, NewStep};
use crate::learning::embed::Vector;
use crate::store::database::{Connection, Readers};
use crate::store::error::{from_query, is_lost, text};
use crate::workflow::record::StoreError;
use crate::workflow::status::status_word;

/// The longest name of a workflow that the log of runs keeps.
const LONGEST_TYPE: usize = 64;

const TAKE_TURNS: &str = "SELECT pg_advisory_xact_lock(hashtextextended('dsmil learner ' || $1, 0))";

const ADD_STEPS: &str = "\
    WITH lesson AS (SELECT *, date_trunc('hour', at, 'UTC') AS hour FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, \
        $11, $12, $13, $14, $15) AS u (run_id, step, attempt, at, agent_id, task_type, ms, rate, usage, outcome, \
        audit_index, text, hash, vector)), \
    fresh AS (SELECT l.* FROM lesson l WHERE NOT EXISTS (SELECT FROM agent_performance_metrics m WHERE \
        m.run_id = l.run_id AND m.step = l.step AND m.attempt = l.attempt AND m.timestamp = l.at)), \
    added AS (INSERT INTO agent_performance_metrics (agent_id, task_type, execution_time_ms, success_rate, \
        resource_usage, vector_embedding, timestamp, tpm_signature, node, run_id, step, attempt, outcome) \
        SELECT f.agent_id, f.task_type, f.ms, f.rate, f.usage, \
            CASE WHEN h.hour IS NULL THEN f.vector::vector(256) END, f.at, \
            convert_to('dsmil/' || $1 || '#' || e.idx || '@sha256:' || encode(e.leaf_hash, 'hex'), 'UTF8'), \
            $1, f.run_id, f.step, f.attempt, f.outcome \
        FROM fresh f \
        LEFT JOIN agent_task_hours h ON h.node = $1 AND h.agent_id = f.agent_id AND h.task_type = f.task_type \
            AND h.task_hash = f.hash AND h.hour = f.hour \
        LEFT JOIN ledger.audit_entries e ON e.node = $1 AND e.idx = f.audit_index \
        RETURNING id), \
    counted AS (INSERT INTO agent_task_hours AS t (node, agent_id, task_type, run_id, step, attempt, task_hash, hour, \
        task_text, successes, failures) \
        SELECT DISTINCT ON (agent_id, task_type, hash, hour) $1, agent_id, task_type, run_id, step, attempt, hash, \
            hour, text, count(*) FILTER (WHERE outcome IN ('ok', 'degraded')) OVER w, \
            count(*) FILTER (WHERE outcome IN ('failed', 'timed_out')) OVER w \
        FROM fresh WINDOW w AS (PARTITION BY agent_id, task_type, hash, hour) \
        ORDER BY agent_id, task_type, hash, hour, vector IS NULL \
        ON CONFLICT (node, agent_id, task_type, task_hash, hour) DO UPDATE \
            SET successes = t.successes + excluded.successes, failures = t.failures + excluded.failures) \
    SELECT count(*) AS n FROM added";

const ADD_RUNS: &str = "\
    WITH lesson AS (SELECT * FROM unnest($2, $3, $4, $5, $6, $7, $8) \
        AS u (run_id, at, agents, workflow, graph, timing, audit_index)), \
    added AS (INSERT INTO system_coordination_log (coordination_id, participating_agents, workflow_type, \
        execution_graph, timing_metrics, tpm_chain_signature, timestamp, node) \
        SELECT l.run_id, string_to_array(l.agents, ' '), l.workflow, l.graph, l.timing, \
            convert_to('dsmil/' || $1 || '#' || e.idx || '@sha256:' || encode(e.leaf_hash, 'hex'), 'UTF8'), l.at, $1 \
        FROM lesson l LEFT JOIN ledger.audit_entries e ON e.node = $1 AND e.idx = l.audit_index \
        WHERE NOT EXISTS (SELECT FROM system_coordination_log s WHERE s.coordination_id = l.run_id \
            AND s.timestamp = l.at) RETURNING id) \
    SELECT count(*) AS n FROM added";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Stores a batch, all or nothing; answers how many rows are new. Handing over the same again adds nothing.
pub async fn add(pool: &Readers, node: &NodeId, batch: &Batch) -> Result<u64, StoreError> {
    let mut connection = pool.get().await?;
    let added = connection
        .transaction(async |connection| {
            sql_query(TAKE_TURNS).bind::<Text, _>(node.as_str()).execute(connection).await?;
            Ok(add_steps(connection, node, &batch.steps).await? + add_runs(connection, node, batch).await?)
        })
        .await;
    // A repeat does no harm, so an unknown outcome is the same as none.
    let failed = |error: diesel::result::Error| match is_lost(&error) {
        true => StoreError::Unknown { detail: text(&error) },
        false => from_query(&error),
    };
    added.map(|n| u64::try_from(n).unwrap_or(0)).map_err(failed)
}

async fn add_steps(connection: &mut Connection, node: &NodeId, steps: &[NewStep]) -> diesel::QueryResult<i64> {
    if steps.is_empty() {
        return Ok(0);
    }
    let all = || steps.iter().map(|step| &step.lesson);
    let count: Count = sql_query(ADD_STEPS)
        .bind::<Text, _>(node.as_str())
        .bind::<Array<SqlUuid>, _>(all().map(|lesson| lesson.run.0).collect::<Vec<Uuid>>())
        .bind::<Array<Text>, _>(all().map(|lesson| lesson.step.as_str()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(all().map(|lesson| clamped(f64::from(lesson.attempt))).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(all().map(|lesson| lesson.at).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(all().map(|lesson| lesson.agent.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(all().map(|lesson| lesson.tool.as_str()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(all().map(|lesson| clamped(lesson.duration_ms)).collect::<Vec<_>>())
        .bind::<Array<Double>, _>(
            all().map(|lesson| if lesson.success() == Some(true) { 100.0 } else { 0.0 }).collect::<Vec<f64>>(),
        )
        .bind::<Array<Nullable<Jsonb>>, _>(
            all().map(|lesson| lesson.usage.and_then(|usage| serde_json::to_value(usage).ok())).collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(all().map(|lesson| status_word(lesson.outcome)).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(all().map(|lesson| index(lesson.audit_index)).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(steps.iter().map(|step| step.text.replace('\0', " ")).collect::<Vec<_>>())
        .bind::<Array<Bytea>, _>(steps.iter().map(|step| step.hash.as_slice()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(
            steps.iter().map(|step| step.vector.as_ref().map(written)).collect::<Vec<_>>(),
        )
        .get_result(connection)
        .await?;
    Ok(count.n)
}

async fn add_runs(connection: &mut Connection, node: &NodeId, batch: &Batch) -> diesel::QueryResult<i64> {
    let runs = &batch.runs;
    if runs.is_empty() {
        return Ok(0);
    }
    let agents = runs.iter().map(|run| run.agents.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" "));
    let names = runs.iter().map(|run| run.workflow.chars().take(LONGEST_TYPE).collect::<String>());
    let count: Count = sql_query(ADD_RUNS)
        .bind::<Text, _>(node.as_str())
        .bind::<Array<SqlUuid>, _>(runs.iter().map(|run| run.run.0).collect::<Vec<Uuid>>())
        .bind::<Array<Timestamptz>, _>(runs.iter().map(|run| run.at).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(agents.collect::<Vec<_>>())
        .bind::<Array<Text>, _>(names.collect::<Vec<_>>())
        .bind::<Array<Jsonb>, _>(runs.iter().map(|run| &run.execution_graph).collect::<Vec<&Value>>())
        .bind::<Array<Jsonb>, _>(runs.iter().map(|run| &run.timing_metrics).collect::<Vec<&Value>>())
        .bind::<Array<Nullable<BigInt>>, _>(runs.iter().map(|run| index(run.audit_index)).collect::<Vec<_>>())
        .get_result(connection)
        .await?;
    Ok(count.n)
}

fn index(index: Option<u64>) -> Option<i64> {
    index.and_then(|index| i64::try_from(index).ok())
}

/// Rounded, and no larger than a column of whole numbers holds.
fn clamped(value: f64) -> i32 {
    value.round().clamp(0.0, f64::from(i32::MAX)) as i32
}

/// The text form of pgvector. Five decimals are finer than the bytes that the vector is made of.
pub(super) fn written(vector: &Vector) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(9 * vector.values().len());
    for (at, value) in vector.values().iter().enumerate() {
        let comma = if at == 0 { '[' } else { ',' };
        // Writing to a text cannot fail.
        if write!(text, "{comma}{value:.5}").is_err() {
            break;
        }
    }
    text.push(']');
    text
}
